"""Prints which interpreter this is, one line; ends non-zero, saying why, if oneloom cannot be built for it.

It must run on any Python there is, so that an old one gets the message rather than a syntax error.
"""

import os
import platform
import sys
import sysconfig

OLDEST = (3, 11)


def complaint():
    """Why oneloom cannot be built for this interpreter, or None."""
    version = platform.python_version()
    if platform.python_implementation() != "CPython":
        return "oneloom needs CPython, this is %s" % platform.python_implementation()
    if sys.version_info < OLDEST:
        return "oneloom needs Python %d.%d or newer, this is %s" % (OLDEST + (version,))
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "oneloom is not yet tested on free-threaded builds, this is one (%s)" % version
    return None


if __name__ == "__main__":
    if complaint():
        sys.exit("error: %s: %s" % (sys.executable, complaint()))
    print("%d.%d %s %s" % (sys.version_info[:2] + (platform.python_version(), os.path.realpath(sys.executable))))
