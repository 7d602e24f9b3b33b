"""`multiprocessing.connection` by oneloom's name: the standard library's module itself."""

import sys
from multiprocessing import connection
from multiprocessing.connection import *
from multiprocessing.connection import __all__ as __all__

sys.modules[__name__] = connection
