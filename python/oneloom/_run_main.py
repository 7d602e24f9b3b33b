"""`oneloom.run`: `asyncio.run`, with everything that it takes on every Python."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine
    from typing import Any, TypeVar

    _Result = TypeVar("_Result")


def run(
    main: Coroutine[Any, Any, _Result],
    *,
    debug: bool | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> _Result:
    """Run a coroutine on an event loop of its own, close the loop, and return the coroutine's result.

    What `asyncio.run` takes in Python 3.12 and later; `loop_factory` works on 3.11 as well.

    >>> async def main():
    ...     return 42
    >>> run(main())
    42
    """
    import asyncio

    if asyncio._get_running_loop() is not None:
        # The same words on every version, and the coroutine is left for the caller to close.
        raise RuntimeError("oneloom.run() cannot be called from a running event loop: await the coroutine instead")
    with asyncio.Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(main)
