"""A ProcessPoolExecutor's worker: it gets calls as pickles, and answers with a byte that says how it went and a pickle."""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from multiprocessing import process
from multiprocessing.reduction import ForkingPickler

from oneloom._compat.mirror import original
from oneloom._native_pool import PoolWorker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from typing import Any, NoReturn

VALUE, ERROR = b"\0", b"\1"

_original = original("concurrent.futures.process")


def work(
    seat: bytes | Connection,
    passport: object,
    main: object,
    initializer: Callable[..., object] | None,
    initargs: tuple[Any, ...],
) -> None:
    """Do an executor's tasks until it ends. A worker that was forked gets its seat through a pipe.

    `passport` and `main` have done their work by being unpickled.
    """
    worker = PoolWorker(seat if isinstance(seat, bytes) else _receive(seat))
    if initializer is not None:
        try:
            initializer(*initargs)
        except BaseException:
            _original._base.LOGGER.critical("Exception in initializer:", exc_info=True)
            # Its end is how the executor learns of it.
            sys.exit(1)
    worker.run()


def _receive(seat: Connection) -> bytes:
    owner = os.getppid()
    while not seat.poll(1):
        # Other workers have inherited the pipe's other end, so it may stay open although the owner is gone.
        if os.getppid() != owner:
            sys.exit(1)
    with seat:
        return seat.recv_bytes()


def call(pickled: bytes) -> bytes:
    """Make a call; what comes of it."""
    try:
        function, args, kwargs = pickle.loads(pickled)
    except BaseException as error:
        _end_by(error)
    try:
        return VALUE + ForkingPickler.dumps(function(*args, **kwargs))
    except BaseException as error:
        return ERROR + _error_as_bytes(error)


def _error_as_bytes(error: BaseException) -> bytes:
    try:
        return bytes(ForkingPickler.dumps(_with_traceback(error)))
    except BaseException as second:
        return bytes(ForkingPickler.dumps(_with_traceback(second)))


def _with_traceback(error: BaseException) -> object:
    return _original._ExceptionWithTraceback(error, error.__traceback__)


def _end_by(error: BaseException) -> NoReturn:
    """End the process as one that did not catch this: who can't read its calls is of no use."""
    code = 1
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    else:
        print(f"Process {process.current_process().name}:", file=sys.stderr)
        traceback.print_exception(error)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass  # It is closed, or replaced by something else.
    os._exit(code)
