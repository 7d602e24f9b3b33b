"""The drop-in modules have every public name of their namesakes, and keep the namesake's state in one place."""

import asyncio
import concurrent.futures.process
import concurrent.futures.thread
import importlib
import inspect
import pickle
import queue
import sys
import threading
from unittest import mock

import pytest

import oneloom
import oneloom.asyncio
import oneloom.concurrent.futures.process
import oneloom.concurrent.futures.thread
import oneloom.queue
import oneloom.threading

OURS = {
    "threading": "Lock RLock Condition Semaphore BoundedSemaphore Event Barrier Thread Timer".split(),
    "queue": "Queue LifoQueue PriorityQueue SimpleQueue".split(),
    "asyncio": (
        "Lock Event Condition Semaphore BoundedSemaphore Barrier Queue LifoQueue PriorityQueue".split()
    ),
    "concurrent.futures": "Future ThreadPoolExecutor ProcessPoolExecutor wait as_completed".split(),
}
MODULES = list(OURS)


def pair(name):
    return importlib.import_module(name), importlib.import_module(f"oneloom.{name}")


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_there_and_exported(name):
    original, drop_in = pair(name)
    assert [public for public in original.__all__ if not hasattr(drop_in, public)] == []
    assert set(original.__all__) <= set(drop_in.__all__)
    # From 3.13 on, these are the namesakes' as well.
    extra = {"queue": "ShutDown", "asyncio": "QueueShutDown", "concurrent.futures": "InvalidStateError"}
    assert set(drop_in.__all__) - set(original.__all__) <= {extra.get(name)}


@pytest.mark.parametrize("name", MODULES)
def test_star_import_gives_the_public_names(name):
    namespace = {}
    exec(f"from oneloom.{name} import *", namespace)
    _, drop_in = pair(name)
    assert {public: namespace[public] for public in drop_in.__all__} == {
        public: getattr(drop_in, public) for public in drop_in.__all__
    }


@pytest.mark.parametrize("name", MODULES)
def test_sync_classes_queues_and_threads_are_oneloom_s_and_the_rest_is_the_namesakes(name):
    original, drop_in = pair(name)
    for public in original.__all__:
        ours, theirs = getattr(drop_in, public), getattr(original, public)
        if public in OURS[name]:
            assert ours is not theirs
            assert ours.__module__.partition(".")[0] == "oneloom", public
        else:
            assert ours is theirs, public


@pytest.mark.parametrize("name", MODULES)
def test_module_and_its_classes_explain_themselves(name):
    _, drop_in = pair(name)
    assert drop_in.__doc__
    for public in OURS[name]:
        assert getattr(drop_in, public).__doc__, public


@pytest.mark.parametrize("name", MODULES)
def test_classes_are_found_by_pickle(name):
    _, drop_in = pair(name)
    for public in OURS[name]:
        assert pickle.loads(pickle.dumps(getattr(drop_in, public))) is getattr(drop_in, public)


def test_exceptions_are_the_standard_ones():
    assert oneloom.queue.Empty is queue.Empty and oneloom.queue.Full is queue.Full
    assert oneloom.threading.BrokenBarrierError is threading.BrokenBarrierError
    assert oneloom.asyncio.CancelledError is asyncio.CancelledError
    assert oneloom.asyncio.QueueFull is asyncio.QueueFull
    futures = oneloom.concurrent.futures
    assert futures.thread.BrokenThreadPool is concurrent.futures.thread.BrokenThreadPool
    assert futures.process.BrokenProcessPool is concurrent.futures.process.BrokenProcessPool
    assert futures._base.InvalidStateError is concurrent.futures.InvalidStateError
    if sys.version_info >= (3, 13):
        assert oneloom.queue.ShutDown is queue.ShutDown
        assert oneloom.asyncio.QueueShutDown is asyncio.QueueShutDown


def test_shutdown_exceptions_exist_on_every_version():
    for error in (oneloom.queue.ShutDown, oneloom.asyncio.QueueShutDown):
        assert issubclass(error, Exception)
    jobs = oneloom.queue.Queue()
    jobs.shutdown()
    with pytest.raises(oneloom.queue.ShutDown):
        jobs.put(1)


PRIVATE = {
    "threading": "_active _limbo _DummyThread _MainThread _register_atexit _shutdown _dangling __excepthook__ "
    "_after_fork _main_thread _enumerate _newname currentThread activeCount".split(),
    "queue": ["_PySimpleQueue", "deque", "heappush"],
    "asyncio": ["base_events", "events", "runners", "sys"],
    "concurrent.futures": ["__author__"],
    "concurrent.futures._base": "PENDING RUNNING CANCELLED CANCELLED_AND_NOTIFIED FINISHED Executor LOGGER Error".split(),
    "concurrent.futures.thread": ["_threads_queues", "_python_exit", "_global_shutdown_lock", "_worker"],
    "concurrent.futures.process": "_RemoteTraceback _check_system_limits _ThreadWakeup EXTRA_QUEUED_CALLS".split(),
}


@pytest.mark.parametrize("name", PRIVATE)
def test_private_names_are_the_namesakes(name):
    original, drop_in = pair(name)
    for private in PRIVATE[name]:
        assert getattr(drop_in, private) is getattr(original, private)
        assert private in dir(drop_in)


PRIVATE_OF_OBJECTS = {
    "threading": {
        "Lock": ["_at_fork_reinit"],
        "RLock": ["_at_fork_reinit", "_is_owned", "_release_save", "_acquire_restore", "_recursion_count"],
        "Condition": ["_lock", "_at_fork_reinit", "_is_owned", "_release_save", "_acquire_restore"],
        "Event": ["_at_fork_reinit", "_cond"],
        "Semaphore": ["_value"],
    },
    "queue": {"Queue": ["_init", "_qsize", "_put", "_get", "mutex", "queue", "not_empty", "not_full", "all_tasks_done"]},
    "asyncio": {
        "Lock": ["_waiters", "_loop", "_get_loop", "_wake_up_first"],
        "Event": ["_waiters", "_loop"],
        "Condition": ["_waiters", "_loop", "_lock"],
        "Semaphore": ["_waiters", "_loop", "_value", "_wake_up_next"],
        "Queue": ["_getters", "_putters", "_unfinished_tasks", "_format", "_init", "_put", "_get", "_queue", "_loop",
                  "_finished", "_wakeup_next", "_maxsize"],
    },
    "concurrent.futures": {
        "Future": ["_condition", "_state", "_result", "_exception", "_waiters"],
        "ThreadPoolExecutor": ["_max_workers", "_threads", "_work_queue", "_idle_semaphore", "_broken", "_shutdown",
                               "_shutdown_lock", "_thread_name_prefix", "_initializer", "_initargs", "_adjust_thread_count",
                               "_initializer_failed", "_counter"],
        "ProcessPoolExecutor": ["_max_workers", "_processes", "_broken", "_mp_context", "_call_queue",
                                "_executor_manager_thread", "_shutdown_thread", "_shutdown_lock", "_pending_work_items"],
    },
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_private_names_that_programs_reach_for_are_there(name):
    original, drop_in = pair(name)
    for kind, privates in PRIVATE_OF_OBJECTS[name].items():
        for private in privates:
            if private == "_recursion_count" and sys.version_info < (3, 12):
                continue
            if private in ("_initializer", "_initargs") and sys.version_info >= (3, 14):
                continue  # They stand in a context.
            assert hasattr(getattr(original, kind)(), private) and hasattr(getattr(drop_in, kind)(), private), (kind, private)
            assert callable(getattr(getattr(original, kind)(), private)) == callable(getattr(getattr(drop_in, kind)(), private))
    if name == "asyncio":
        assert drop_in.Barrier(2)._count == original.Barrier(2)._count == 0


@pytest.mark.parametrize("name", MODULES)
def test_missing_name_is_the_drop_ins_error(name):
    _, drop_in = pair(name)
    with pytest.raises(AttributeError, match=f"module 'oneloom.{name}' has no attribute 'nonsense'"):
        drop_in.nonsense
    with pytest.raises(ImportError, match="nonsense"):
        exec(f"from oneloom.{name} import nonsense")


def test_state_is_written_to_the_standard_module(monkeypatch):
    monkeypatch.setattr(oneloom.threading, "_profile_hook", previous := threading._profile_hook)
    oneloom.threading._oneloom_test = 1
    assert threading._oneloom_test == oneloom.threading._oneloom_test == 1
    del oneloom.threading._oneloom_test
    assert not hasattr(threading, "_oneloom_test")
    assert threading._profile_hook is previous


def test_patching_tools_leave_the_state_as_it_was():
    for name in ("excepthook", "_shutdown"):
        before = getattr(threading, name)
        with pytest.MonkeyPatch.context() as outer, mock.patch.object(oneloom.threading, name, "one"):
            outer.setattr(oneloom.threading, name, "two")
            assert getattr(threading, name) == "two"
        assert getattr(threading, name) is before
        with mock.patch.object(oneloom.threading, name, "one"), pytest.MonkeyPatch.context() as inner:
            inner.setattr(oneloom.threading, name, "two")
        assert getattr(threading, name) is before


def test_replacing_an_own_class_leaves_the_standard_module_alone(monkeypatch):
    monkeypatch.setattr(oneloom.threading, "Lock", "replaced")
    assert oneloom.threading.Lock == "replaced" and threading.Lock != "replaced"


def test_trace_functions_are_shared():
    def trace(*_):
        return None

    previous = threading.gettrace()
    oneloom.threading.settrace(trace)
    try:
        assert threading.gettrace() is oneloom.threading.gettrace() is trace
    finally:
        threading.settrace(previous)


def test_deprecated_names_still_work():
    event, condition = oneloom.threading.Event(), oneloom.threading.Condition()
    with pytest.deprecated_call(match="is_set"):
        assert event.isSet() is False
    with pytest.deprecated_call(match="notify_all"), condition:
        condition.notifyAll()


def test_condition_without_a_lock_has_a_reentrant_one():
    condition = oneloom.threading.Condition()
    with condition, condition:
        condition.notify_all()


def test_lock_may_be_released_by_another_thread():
    lock = oneloom.threading.Lock()
    with lock:
        thread = oneloom.Thread(target=lock.release)
        thread.start()
        thread.result()
        assert not lock.locked()
        lock.acquire()


def test_timer_is_a_thread_of_oneloom_and_a_timer():
    called = []
    timer = oneloom.threading.Timer(0, called.append, [1])
    assert isinstance(timer, oneloom.Thread) and isinstance(timer, threading.Timer)
    timer.start()
    assert timer.result() is None
    assert called == [1]
    timer = oneloom.threading.Timer(3600, called.append, kwargs={"no": "way"})
    timer.start()
    timer.cancel()
    timer.join()
    assert called == [1]


def test_submodules_of_asyncio_import_by_name():
    import asyncio.subprocess

    import oneloom.asyncio.subprocess
    import oneloom.asyncio.tasks as tasks

    assert oneloom.asyncio.subprocess is asyncio.subprocess
    assert tasks is asyncio.tasks
    assert oneloom.asyncio.locks.Lock is oneloom.asyncio.Lock
    assert oneloom.asyncio.locks._ContextManagerMixin is asyncio.locks._ContextManagerMixin
    assert asyncio.locks.Lock is asyncio.Lock is not oneloom.asyncio.Lock


@pytest.mark.parametrize("name", OURS["asyncio"])
def test_signatures_of_asyncio_classes_are_the_namesakes(name):
    ours, theirs = getattr(oneloom.asyncio, name), getattr(asyncio, name)
    for member in [m for m in vars(theirs) if not m.startswith("_")] + ["__init__"]:
        if not callable(getattr(theirs, member)):
            continue
        want = inspect.signature(getattr(theirs, member)).parameters
        have = inspect.signature(getattr(ours, member)).parameters
        assert [(p.name, p.kind, p.default) for p in have.values()] == [(p.name, p.kind, p.default) for p in want.values()]
        is_async = inspect.iscoroutinefunction(getattr(theirs, member))
        assert inspect.iscoroutinefunction(getattr(ours, member)) == is_async, member


@pytest.mark.parametrize("name", ["Future", "Executor", "ThreadPoolExecutor", "ProcessPoolExecutor"])
def test_executors_and_futures_take_what_the_namesakes_take(name):
    ours, theirs = getattr(oneloom.concurrent.futures, name), getattr(concurrent.futures, name)
    for member in [m for m in dir(theirs) if not m.startswith("_")] + ["__init__"]:
        if not inspect.isroutine(getattr(theirs, member)) or (name, member) == ("Future", "__init__"):
            continue
        have = inspect.signature(getattr(ours, member)).parameters
        for parameter in inspect.signature(getattr(theirs, member)).parameters.values():
            if parameter.name not in ("self", "fn"):
                ours_is = have[parameter.name]
                assert (ours_is.kind, ours_is.default) == (parameter.kind, parameter.default), (member, parameter)


@pytest.mark.parametrize("name", ["wait", "as_completed"])
def test_functions_that_wait_take_what_the_namesakes_take(name):
    ours, theirs = getattr(oneloom.concurrent.futures, name), getattr(concurrent.futures, name)
    want, have = inspect.signature(theirs).parameters, inspect.signature(ours).parameters
    assert [(p.name, p.kind, p.default) for p in have.values()] == [(p.name, p.kind, p.default) for p in want.values()]


def test_thread_takes_what_the_standard_one_takes():
    ours = inspect.signature(oneloom.Thread.__init__).parameters
    for name, parameter in inspect.signature(threading.Thread.__init__).parameters.items():
        assert (ours[name].kind, ours[name].default) == (parameter.kind, parameter.default)
