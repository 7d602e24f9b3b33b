"""`multiprocessing.sharedctypes` by oneloom's name: the standard library's module itself."""

import sys
from multiprocessing import sharedctypes
from multiprocessing.sharedctypes import *
from multiprocessing.sharedctypes import __all__ as __all__

sys.modules[__name__] = sharedctypes
