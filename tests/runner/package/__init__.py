"""A package to be run by `-m`."""
import sys

print("importing", __name__, sys.argv)
