"""Warnings: of the program's own, of the interpreter, of unclosed files."""
import warnings


def old():
    warnings.warn("use new() instead", DeprecationWarning, stacklevel=2)


def caller():
    old()


old()
caller()
warnings.warn("something is odd")
warnings.simplefilter("always")
handle = open(__file__)
del handle
"text" is "text"
