"""`multiprocessing.resource_tracker` by oneloom's name: the standard library's module itself."""

import sys
from multiprocessing import resource_tracker
from multiprocessing.resource_tracker import *
from multiprocessing.resource_tracker import __all__ as __all__

sys.modules[__name__] = resource_tracker
