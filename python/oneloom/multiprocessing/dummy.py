"""`multiprocessing.dummy` by oneloom's name: the standard library's module itself."""

import sys
from multiprocessing import dummy
from multiprocessing.dummy import *
from multiprocessing.dummy import __all__ as __all__

sys.modules[__name__] = dummy
sys.modules[f"{__name__}.connection"] = dummy.connection
