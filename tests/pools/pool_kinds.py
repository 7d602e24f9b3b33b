"""The kinds of pool that the contract's tests run on, and the fixture that gives them one by one."""

from functools import partial

import pytest

import oneloom

# How a pool of each kind is made.
KINDS = {
    "threads": oneloom.ThreadPool,
    "processes": partial(oneloom.ProcessPool, start_method="fork"),
}


@pytest.fixture(params=KINDS)
def make_pool(request):
    """Make a pool as its class does; what is left of it is ended with the test."""
    pools = []

    def make(*arguments, **keywords):
        pool = KINDS[request.param](*arguments, **keywords)
        pools.append(pool)
        return pool

    yield make
    for pool in pools:
        pool.terminate()
        pool.shutdown()
