"""`multiprocessing.heap` by oneloom's name: the standard library's module itself."""

import sys
from multiprocessing import heap
from multiprocessing.heap import *
from multiprocessing.heap import __all__ as __all__

sys.modules[__name__] = heap
