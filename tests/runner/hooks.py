"""Exception hooks: one of its own, one that fails, one that exits, none, unraisable errors."""
import sys


class Unraisable:
    def __del__(self):
        raise OSError("in __del__")


def own(kind, value, traceback):
    frames = []
    while traceback is not None:
        frames.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    print("own hook:", kind.__name__, value, frames, sys.last_value is value, flush=True)


def failing(kind, value, traceback):
    raise NotImplementedError("in the hook")


def leaving(kind, value, traceback):
    sys.exit(4)


def main():
    raise ArithmeticError("uncaught")


Unraisable()
if sys.argv[1] == "none":
    sys.excepthook = None
else:
    sys.excepthook = {"own": own, "failing": failing, "leaving": leaving, "same": sys.__excepthook__}[sys.argv[1]]
main()
