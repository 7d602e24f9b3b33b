"""Exceptions with a cause, a context, notes and a group."""


def first():
    try:
        {}["missing"]
    except KeyError as error:
        raise ValueError("no such thing") from error


def second():
    try:
        first()
    except ValueError as error:
        error.add_note("seen on the way")
        raise ExceptionGroup("all together", [error, OSError(2, "nothing there")])


try:
    second()
finally:
    print("finally")
    undefined_name
