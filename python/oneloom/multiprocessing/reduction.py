"""`multiprocessing.reduction` by oneloom's name: the standard library's module itself."""

import sys
from multiprocessing import reduction
from multiprocessing.reduction import *
from multiprocessing.reduction import __all__ as __all__

sys.modules[__name__] = reduction
