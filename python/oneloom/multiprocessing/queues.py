"""`multiprocessing.queues` by oneloom's name: the standard library's module itself."""

import sys
from multiprocessing import queues
from multiprocessing.queues import *
from multiprocessing.queues import __all__ as __all__

sys.modules[__name__] = queues
