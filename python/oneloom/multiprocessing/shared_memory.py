"""`multiprocessing.shared_memory` by oneloom's name: the standard library's module itself."""

import sys
from multiprocessing import shared_memory
from multiprocessing.shared_memory import *
from multiprocessing.shared_memory import __all__ as __all__

sys.modules[__name__] = shared_memory
