"""`multiprocessing.forkserver` by oneloom's name: the standard library's module itself."""

import sys
from multiprocessing import forkserver
from multiprocessing.forkserver import *
from multiprocessing.forkserver import __all__ as __all__

sys.modules[__name__] = forkserver
