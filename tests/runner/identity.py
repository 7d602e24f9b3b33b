"""What a program can ask about itself."""
import os
import sys

print(sys.argv, sys.path[0], os.getcwd())
print(__name__, __file__, __doc__, __package__, __spec__, __cached__)
print(list(globals()))
print(type(__loader__).__name__, __loader__.path, __builtins__)
print(sys.modules["__main__"] is __import__("__main__"), vars(sys.modules["__main__"]) is globals())
