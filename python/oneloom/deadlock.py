"""What is to happen when waits can never end: raise, warn or nothing.

`ONELOOM_DEADLOCK=raise|warn|off` in the environment sets the policy for cycles at import.
"""

from __future__ import annotations

import os as _os

from oneloom import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    _Choice = Literal["raise", "warn", "off"]

__all__ = ["policy"]

_CHOICES = ("raise", "warn", "off")
_now = {"cycles": "raise", "tasks": "warn"}


class policy:  # noqa: N801 (it is called like a function, and only incidentally a context manager)
    """Set what happens in a deadlock, for the whole process; as a context manager, until its end.

    `cycles` is about threads: `"raise"` (the default) raises `DeadlockError` in one of them where the deadlock is
    certain, and reports where it is only suspected; `"warn"` only reports; `"off"` does neither. `tasks` is about
    tasks that await each other's locks, which is never certain: `"warn"` (the default), `"raise"` or `"off"`.
    What is not given stays as it is. ValueError for any other word, TypeError for what is none.

    >>> import oneloom
    >>> with oneloom.deadlock.policy(cycles="warn"):
    ...     pass
    """

    def __init__(self, cycles: _Choice | None = None, tasks: _Choice | None = None) -> None:
        self._before = dict(_now)
        _set(_now["cycles"] if cycles is None else cycles, _now["tasks"] if tasks is None else tasks)

    def __enter__(self) -> policy:
        return self

    def __exit__(self, *_: object) -> None:
        _set(self._before["cycles"], self._before["tasks"])

    def __repr__(self) -> str:
        return f"oneloom.deadlock.policy(cycles={_now['cycles']!r}, tasks={_now['tasks']!r})"


def _set(cycles: str, tasks: str) -> None:
    for name, choice in (("cycles", cycles), ("tasks", tasks)):
        if not isinstance(choice, str):
            raise TypeError(f"{name} must be a str, not {type(choice).__name__}")
        if choice not in _CHOICES:
            raise ValueError(f"{name} must be 'raise', 'warn' or 'off', not {choice!r}")
    _native._policy(_CHOICES.index(cycles), _CHOICES.index(tasks))
    _now.update(cycles=cycles, tasks=tasks)


def _from_environment() -> None:
    choice = _os.environ.get("ONELOOM_DEADLOCK")
    if choice is None:
        return
    if choice in _CHOICES:
        _set(choice, "off" if choice == "off" else _now["tasks"])
    else:
        import warnings

        warnings.warn(f"ONELOOM_DEADLOCK must be raise, warn or off, not {choice!r}; it is ignored", stacklevel=2)


_from_environment()
