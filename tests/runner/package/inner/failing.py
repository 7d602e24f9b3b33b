"""Can't be imported."""
from . import names

names.fail()
