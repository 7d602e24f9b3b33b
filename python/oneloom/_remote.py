"""An outcome as bytes, for another process: the value, or the exception with its traceback as text.

What can't be pickled becomes an error that names the part to blame, by the expression that leads to it.
"""

from __future__ import annotations

import pickle
from multiprocessing.reduction import ForkingPickler
from types import FunctionType

from oneloom._outcome import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO, Any

    # An exception's bytes, or None and what to say instead; and its traceback.
    _Failure = tuple[bytes | None, str, str]

_VALUE, _ERROR = b"V", b"E"
_DEEPEST = 20


class RemoteTraceback(Exception):
    """The cause of an exception that was raised in another process: its traceback there, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)

    def __str__(self) -> str:
        return f"in the other process:\n\n{self.args[0]}"


def dump(outcome: Outcome, file: IO[bytes], whose: str) -> None:
    """Write an outcome, or why it can't be pickled, from the file's present position to its end."""
    begun = file.tell()
    if outcome.error is None:
        try:
            file.write(_VALUE)
            _pickle(outcome.value, file)
            return
        except Exception as error:
            said = f"the result of {whose} can't be pickled: {blame(outcome.value, 'result')}: {_in_words(error)}"
            failure: _Failure = None, said, ""
            file.seek(begun)
            file.truncate()
    else:
        failure = failed_with(outcome.error, whose)
    file.write(_ERROR)
    pickle.dump(failure, file)


def load(view: memoryview, whose: str) -> Outcome:
    """The outcome that `dump` wrote. PicklingError (as its error) or UnpicklingError where it did not make the way."""
    outcome = Outcome()
    try:
        if bytes(view[:1]) == _VALUE:
            outcome.value = pickle.loads(view[1:])
        else:
            outcome.error = error_of(pickle.loads(view[1:]))
    except Exception as error:
        raise not_unpickled(whose, error) from error
    outcome.known = True
    return outcome


def not_unpickled(whose: str, error: Exception) -> pickle.UnpicklingError:
    """The error where an outcome did not make the way."""
    return pickle.UnpicklingError(f"what {whose} ended with can't be unpickled here: {_in_words(error)}")


def error_of(failure: _Failure) -> BaseException:
    """The exception that `failed_with` has told, with its traceback as its cause."""
    pickled, message, text = failure
    error: BaseException = pickle.PicklingError(message) if pickled is None else pickle.loads(pickled)
    if text:
        error.__cause__ = RemoteTraceback(text)
    return error


def _dumps(thing: Any) -> bytes:
    return bytes(ForkingPickler.dumps(thing, pickle.HIGHEST_PROTOCOL))


def _pickle(thing: Any, file: IO[bytes]) -> None:
    ForkingPickler(file, pickle.HIGHEST_PROTOCOL).dump(thing)


def failed_with(error: BaseException, whose: str, dumps: Callable[[Any], bytes] = _dumps) -> _Failure:
    """An exception in a form that can be pickled and read elsewhere, whatever it is."""
    import traceback  # Here, because a worker would wait for it at its start.

    text = "".join(traceback.format_exception(error))
    said = f"{whose} raised {''.join(traceback.format_exception_only(error)).rstrip()}"
    try:
        pickled = dumps(error)
    except Exception as reason:
        return None, f"{said}\nIt can't be pickled: {blame(error, 'error', dumps)}: {_in_words(reason)}", text
    try:
        again = pickle.loads(pickled)
        if not isinstance(again, BaseException):
            raise TypeError(f"it comes back as {_described(again)}")
    except Exception as reason:
        likely = "let its __init__ pass all its arguments on to super().__init__, or define __reduce__"
        return None, f"{said}\nIt can't be unpickled: {_in_words(reason)}. Likely fix: {likely}.", text
    return pickled, "", text


def blame(thing: Any, name: str, dumps: Callable[[Any], bytes] = _dumps) -> str:
    """The innermost part of a thing that `dumps` can't pickle."""
    seen = {id(thing)}
    try:
        for _ in range(_DEEPEST):
            for path, part in _parts(thing):
                if id(part) not in seen and not _can_be_pickled(part, dumps):
                    seen.add(id(part))
                    name, thing = name + path, part
                    break
            else:
                break
    except Exception:
        pass  # What a thing does when it is looked at is the program's own code: that must not hide the error that is told.
    return f"{name} is {_described(thing)}"


def _parts(thing: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(thing, dict):
        for key, value in thing.items():
            yield f"[{_described(key)}]", value
            yield f"[{_described(key)}] as a key", key
    elif isinstance(thing, (list, tuple, set, frozenset)):
        yield from ((f"[{index}]", part) for index, part in enumerate(thing))
    elif not isinstance(thing, type) and not callable(thing):
        thing.__reduce_ex__(pickle.HIGHEST_PROTOCOL)  # Raises what is told, where the thing itself refuses.
        if isinstance(thing, BaseException):
            yield from ((f".args[{index}]", part) for index, part in enumerate(thing.args))
        yield from ((f".{name}", part) for name, part in getattr(thing, "__dict__", {}).items())


def _described(thing: Any) -> str:
    if type(thing) in (str, bytes):
        return repr(thing[:60])
    if type(thing) in (int, float):
        return f"{thing!r:.60}"
    if isinstance(thing, FunctionType):
        return f"the function {thing.__qualname__}"
    return f"a {type(thing).__module__}.{type(thing).__qualname__}"


def _in_words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _can_be_pickled(thing: Any, dumps: Callable[[Any], bytes]) -> bool:
    try:
        dumps(thing)
    except Exception:
        return False
    return True
