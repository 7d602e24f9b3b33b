"""`multiprocessing.resource_sharer` by oneloom's name: the standard library's module itself."""

import sys
from multiprocessing import resource_sharer
from multiprocessing.resource_sharer import *
from multiprocessing.resource_sharer import __all__ as __all__

sys.modules[__name__] = resource_sharer
