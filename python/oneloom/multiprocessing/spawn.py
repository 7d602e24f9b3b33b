"""`multiprocessing.spawn` by oneloom's name: the standard library's module itself."""

import sys
from multiprocessing import spawn
from multiprocessing.spawn import *
from multiprocessing.spawn import __all__ as __all__

sys.modules[__name__] = spawn
