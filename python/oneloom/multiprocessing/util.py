"""`multiprocessing.util` by oneloom's name: the standard library's module itself."""

import sys
from multiprocessing import util
from multiprocessing.util import *
from multiprocessing.util import __all__ as __all__

sys.modules[__name__] = util
