"""The pytest plugin: its options, and `--oneloom`, which puts oneloom's modules in the namesakes' place.

Every run of pytest loads this module wherever oneloom is installed. So it defines what can be asked for, and no more; it
stands beside the package, because importing that takes time that other people's test runs need not pay. What runs beside
the tests is in `_session`, and is imported only by a run that asks for something.
"""

from __future__ import annotations

import math
from functools import partial

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ON = "run the tests on oneloom's threading, queue and asyncio instead of the standard library's"
_TIMEOUT = (
    "seconds that a test may take, its fixtures included; then it fails, and tells who holds and waits for what. "
    "0 (the default) is no limit"
)
_MARKER = (
    "oneloom(timeout=None, cycles=None, tasks=None): seconds that this test may take (0 is no limit), "
    "and its oneloom.deadlock.policy"
)


def seconds_of(value: Any, where: str) -> float:
    """A time-out that somebody gives, 0 for none. UsageError, naming where it was given, for what is none."""
    try:
        seconds = float(value or 0)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise pytest.UsageError(f"{where}: a time-out is a number of seconds, not {value!r}")
    return seconds


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("oneloom", "oneloom: concurrency that says why it hangs")
    group.addoption("--oneloom", action="store_true", help=_ON)
    group.addoption("--oneloom-timeout", type=partial(seconds_of, where="--oneloom-timeout"), metavar="SECONDS", help=_TIMEOUT)
    parser.addini("oneloom_timeout", _TIMEOUT, default="")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    # Nothing of the project has been imported yet, not even a conftest.
    if early_config.known_args_namespace.oneloom:
        from oneloom._compat.install import install

        install()


# After pytest's own: its hook for what threads raise does not call the one that was there before.
@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)
    if config.option.oneloom or _timeout(config):
        _begin(config)


def pytest_collection_finish(session: pytest.Session) -> None:
    if any(item.get_closest_marker("oneloom") for item in session.items):
        _begin(session.config)


def pytest_report_header(config: pytest.Config) -> str | None:
    timeout = _timeout(config)
    parts = ["its modules in the standard ones' place"] if config.option.oneloom else []
    parts += [f"{timeout:g} s for each test"] if timeout else []
    return f"oneloom: {', '.join(parts)}" if parts else None


def _timeout(config: pytest.Config) -> float:
    seconds: float | None = config.option.oneloom_timeout
    if seconds is not None:
        return seconds
    return seconds_of(config.getini("oneloom_timeout"), "oneloom_timeout")


def _begin(config: pytest.Config) -> None:
    if not config.pluginmanager.has_plugin("oneloom-session"):
        from pytest_oneloom._session import Session

        config.pluginmanager.register(Session(config, _timeout(config)), "oneloom-session")
