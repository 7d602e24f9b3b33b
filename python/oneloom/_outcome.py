"""What a target or an overridden `run` came to, kept beside it: what `Thread` and `Process` have in common.

The two calls around what runs keep the value or the exception, and take themselves out of every traceback.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable
    from typing import Any, Generic as Generic

    from typing_extensions import TypeVar

    _T = TypeVar("_T", default=Any)
else:

    class Generic:  # Importing typing would take longer than importing the rest of oneloom.
        __class_getitem__ = classmethod(type(list[int]))


# Whose frames a program does not see on top of its tracebacks.
_UNSEEN = ("oneloom._outcome", "oneloom._thread", "oneloom._process")


class Outcome:
    """How something ended, kept apart from it so that what runs needs no reference to the thread or process."""

    __slots__ = ("error", "known", "value")

    def __init__(self) -> None:
        self.known = False
        self.value: Any = None
        self.error: BaseException | None = None


def keeping_value(target: Callable[..., Any], outcome: Outcome) -> Callable[..., Any]:
    """The target; its value is kept, because the standard `run` drops it."""

    def call_target(*args: Any, **kwargs: Any) -> Any:
        try:
            outcome.value = target(*args, **kwargs)
        except BaseException as error:
            leave_traceback(error)
            raise
        return outcome.value

    return call_target


def keeping_outcome(
    run: Callable[[], Any], outcome: Outcome, context: contextvars.Context | None = None
) -> Callable[[], None]:
    """What runs, in its context if it has one, with its end written down."""

    def call_run() -> None:
        try:
            value = run() if context is None else context.run(run)
        except BaseException as error:
            leave_traceback(error)
            outcome.error = error
            outcome.known = True
            raise
        if value is not None:  # An overridden `run` that returns nothing may have called the target.
            outcome.value = value
        outcome.known = True

    return call_run


def leave_traceback(error: BaseException) -> None:
    """Take our frames off the traceback's top: the program sees what the standard library shows it.

    Neither a bare `raise` nor the end of a `with` adds its frame again.
    """
    while error.__traceback__ is not None and error.__traceback__.tb_frame.f_globals.get("__name__") in _UNSEEN:
        error.__traceback__ = error.__traceback__.tb_next


class _OutOfTraceback:
    """`with` this, what is raised seems to come from the standard library's method alone."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, exc_type: object, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            leave_traceback(error)


out_of_traceback = _OutOfTraceback()
