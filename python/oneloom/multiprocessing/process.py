"""`multiprocessing.process` by oneloom's name: the standard library's module itself."""

import sys
from multiprocessing import process
from multiprocessing.process import *
from multiprocessing.process import __all__ as __all__

sys.modules[__name__] = process
