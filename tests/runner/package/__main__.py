"""The package's program."""
import sys

from . import inner
from .inner import names

print(__name__, __package__, __spec__.name, sys.argv[1:], inner.__name__, names.NAME)
print(sorted(name for name in globals() if name.startswith("__")))
if "fail" in sys.argv:
    names.fail()
