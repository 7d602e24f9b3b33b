"""`multiprocessing.managers` by oneloom's name: the standard library's module itself."""

import sys
from multiprocessing import managers
from multiprocessing.managers import *
from multiprocessing.managers import __all__ as __all__

sys.modules[__name__] = managers
