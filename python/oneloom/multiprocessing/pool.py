"""`multiprocessing.pool` by oneloom's name: the standard library's module itself."""

import sys
from multiprocessing import pool
from multiprocessing.pool import *
from multiprocessing.pool import __all__ as __all__

sys.modules[__name__] = pool
