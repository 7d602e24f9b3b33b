"""The drop-in classes are made, subclassed, extended and named as the standard library's are, on the running version."""

import copy
import gc
import importlib
import inspect
import pickle
import queue
import sys
import threading
import types
import warnings
import weakref

import pytest

import oneloom
import oneloom.queue
import oneloom.threading

RLOCK = type(threading.RLock())

# What to make each from, and something to see that the arguments arrived.
SUBCLASSED = {
    "Semaphore": ((3,), lambda made: made.acquire() and made._value == 2),
    "BoundedSemaphore": ((3,), lambda made: made.acquire() and made.release() is None and made._value == 3),
    "Event": ((), lambda made: not made.is_set()),
    "Condition": ((threading.Lock(),), lambda made: made.acquire() and not made.acquire(False)),
    "Barrier": ((1,), lambda made: made.wait() == 0 and made.parties == 1),
    "RLock": ((), lambda made: made.acquire() and made.acquire()),
    "Thread": ((None, print), lambda made: not made.is_alive()),
    "Timer": ((1, print), lambda made: made.interval == 1),
}
QUEUES = {"Queue": (3,), "LifoQueue": (3,), "PriorityQueue": (3,)}


def outcome(call):
    """How a call ends, for comparison."""
    try:
        call()
        return "well"
    except Exception as error:
        return type(error).__name__


@pytest.mark.parametrize("name", SUBCLASSED)
def test_subclass_may_take_other_arguments(name):
    arguments, works = SUBCLASSED[name]

    class Own(getattr(oneloom.threading, name)):
        def __init__(self, label, items=(), *, colour):
            super().__init__(*arguments)
            self.label = label, items, colour

    made = Own("a", [1], colour="red")
    assert made.label == ("a", [1], "red")
    assert works(made)


@pytest.mark.parametrize("name", QUEUES)
def test_subclass_of_a_queue_may_take_other_arguments(name):
    class Own(getattr(oneloom.queue, name)):
        def __init__(self, label, *, colour):
            super().__init__(*QUEUES[name])
            self.label = label, colour

    made = Own("a", colour="red")
    assert made.label == ("a", "red") and made.maxsize == 3


def test_subclass_of_a_simple_queue_may_take_other_arguments():
    class Own(oneloom.queue.SimpleQueue):
        def __init__(self, label, name):
            super().__init__()
            self.label = label, name

    made = Own("a", name=5)
    made.put(1)
    assert made.label == ("a", 5) and made.get() == 1
    for wrong in (lambda module: module.SimpleQueue(3), lambda module: module.SimpleQueue(bogus=3)):
        assert outcome(lambda: wrong(oneloom.queue)) == outcome(lambda: wrong(queue)) == "TypeError"
    assert oneloom.queue.SimpleQueue(name="jobs").name == "jobs"


@pytest.mark.parametrize("name", [name for name in SUBCLASSED if name not in ("Thread", "Timer")])
def test_subclass_that_forgets_the_base_init_gets_a_plain_one(name):
    class Own(getattr(oneloom.threading, name)):
        def __init__(self, label):
            self.label = label

    made = Own("a")
    assert made.label == "a"
    assert repr(made)
    if hasattr(made, "acquire"):
        assert made.acquire(False)
        made.release()
    if name == "BoundedSemaphore":
        with pytest.raises(ValueError, match="too many"):
            made.release()


def test_first_init_counts():
    semaphore = oneloom.threading.Semaphore(3)
    semaphore.__init__(7)
    assert semaphore._value == 3


@pytest.mark.parametrize("name", [*SUBCLASSED, *QUEUES, "SimpleQueue"])
def test_subclass_may_have_a_name_of_its_own(name):
    base = getattr(oneloom.threading, name, None) or getattr(oneloom.queue, name)
    arguments = SUBCLASSED[name][0] if name in SUBCLASSED else ()

    class Own(base):
        def __init__(self, name):
            super().__init__(*arguments)
            self.name = name

    made = Own("a")
    assert made.name == "a"
    made.name = "b"
    assert made.name == "b"


@pytest.mark.parametrize("name", ["Semaphore", "BoundedSemaphore", "Event", "Condition", "Barrier"])
def test_objects_take_attributes_and_die_in_a_cycle(name):
    made = getattr(oneloom.threading, name)(*((1,) if name == "Barrier" else ()))
    made.payload = made
    assert vars(made) == {"payload": made}
    if name == "Event":
        made._cond.payload = made
    reference = weakref.ref(made)
    del made
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.Semaphore(-1),
        lambda t: t.BoundedSemaphore(-1),
        lambda t: t.Semaphore(1, 2),
        lambda t: t.Semaphore(bogus=1),
        lambda t: t.Event(1),
        lambda t: t.Condition(1, 2),
        lambda t: t.Condition(object()),
        lambda t: t.Barrier(),
        lambda t: t.Lock(1),
        lambda t: t.Lock(a=1),
        lambda t: type(t.Lock())(),
        lambda t: type(t.Lock())(1),
        lambda t: type("Sub", (type(t.Lock()),), {}),
        lambda t: type("Sub", (t.Lock,), {}),
        lambda t: isinstance(t.Lock(), t.Lock),  # It is a function before 3.13.
        lambda t: t.Lock | None,
        lambda t: setattr(t.Lock(), "x", 1),
        lambda t: setattr(t.RLock(), "x", 1),
        lambda t: pickle.dumps(t.Lock()),
        lambda t: pickle.dumps(t.Lock),
        lambda t: pickle.dumps(type(t.Lock())),
        lambda t: copy.copy(t.Lock()),
        lambda t: pickle.dumps(t.Event()),
        lambda t: t.Lock().release(),
        lambda t: t.RLock().release(),
        lambda t: t.RLock(1, x=2).release(),
        lambda t: t.Lock().acquire(False, 1),
        lambda t: t.Lock().acquire(True, -2),
        lambda t: t.Lock().acquire(True, float("nan")),
        lambda t: t.Lock().acquire(True, 1e100),
        lambda t: t.Lock().acquire(1, 2, 3),
        lambda t: t.Lock().acquire(waitflag=1),
        lambda t: t.RLock().acquire(False, 1),
        lambda t: t.RLock().acquire(True, -2),
        lambda t: t.Semaphore().acquire(False, 1),
        lambda t: t.Semaphore().release(0),
        lambda t: t.Condition().notify(),
        lambda t: t.Condition().wait(),
        lambda t: t.Timer(1),
        lambda t: t.Thread(1),
    ],
)
def test_calls_end_as_with_the_namesake(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # A newer Python deprecates arguments to RLock.
        assert outcome(lambda: call(oneloom.threading)) == outcome(lambda: call(threading))


def test_lock_is_the_kind_of_thing_that_it_is_in_the_standard_library():
    assert isinstance(oneloom.threading.Lock, type) == isinstance(threading.Lock, type)
    assert isinstance(oneloom.threading.Lock, (type, types.BuiltinFunctionType))
    lock = oneloom.threading.Lock()
    assert isinstance(lock, type(oneloom.threading.Lock()))
    assert isinstance(lock, oneloom.Lock)
    assert type(lock).__name__ == "Lock" and type(lock).__module__ == oneloom.threading.Lock.__module__
    assert oneloom.threading.Lock.__module__ == "oneloom.threading"
    assert pickle.loads(pickle.dumps(oneloom.threading.Lock)) is oneloom.threading.Lock


def test_lock_says_why_it_can_be_neither_made_from_its_class_nor_derived_from():
    kind = type(oneloom.threading.Lock())
    with pytest.raises(TypeError, match="type 'oneloom.threading.Lock' is not an acceptable base type"):
        type("Sub", (kind,), {})
    if sys.version_info < (3, 13):
        with pytest.raises(TypeError, match="cannot create 'oneloom.threading.Lock' instances"):
            kind()


def test_lock_as_a_class_attribute_is_not_bound():
    class Maker:
        lock = oneloom.threading.Lock
        rlock = oneloom.threading.RLock

    assert not Maker().lock().locked()
    assert Maker().rlock().acquire()


def test_lock_has_its_oldest_names_too():
    lock = oneloom.threading.Lock()
    assert lock.acquire_lock() and lock.locked_lock()
    lock.release_lock()
    assert not lock.locked_lock()
    assert not hasattr(oneloom.Lock, "acquire_lock")


def same_parameters(ours, theirs):
    """Whether ours takes what theirs takes, by position and by name, with the same defaults; more may follow."""
    ours, theirs = (list(inspect.signature(thing).parameters.values()) for thing in (ours, theirs))
    missing = [want for want in theirs if want.name != "self" and all(
        (have.name, have.kind, have.default) != (want.name, want.kind, want.default) for have in ours
    )]  # fmt: skip
    shared = {want.name for want in theirs}
    in_order = [have.name for have in ours if have.name in shared] == [want.name for want in theirs]
    extra = [have for have in ours if have.name not in shared]
    optional = all(have.default is not have.empty or have.kind in (have.VAR_POSITIONAL, have.VAR_KEYWORD) for have in extra)
    return not missing and in_order and optional


CLASSES = [
    *(("threading", name) for name in "Lock RLock Condition Semaphore BoundedSemaphore Event Barrier Thread Timer".split()),
    *(("queue", name) for name in "Queue LifoQueue PriorityQueue SimpleQueue".split()),
]


def classes(module, name):
    """The drop-in's class and its namesake; a function stands for the class of what it makes."""
    found = [getattr(importlib.import_module(f"{package}{module}"), name) for package in ("oneloom.", "")]
    return [thing if inspect.isclass(thing) else type(thing()) for thing in found]


@pytest.mark.parametrize("module, name", CLASSES)
def test_methods_are_named_documented_and_take_what_the_namesakes_take(module, name):
    ours, theirs = classes(module, name)
    assert ours.__qualname__ == ours.__name__ == name and ours.__doc__
    for method in [each for each in dir(theirs) if not each.startswith("_")]:
        own, namesake = getattr(ours, method), getattr(theirs, method)
        assert callable(own) == callable(namesake), method
        if not callable(own):
            continue
        plain = method.removesuffix("_lock")  # A second name of the same method.
        assert own.__name__ == plain and own.__qualname__.endswith(f".{plain}"), method
        assert own.__doc__ or own is namesake, method
        try:
            inspect.signature(namesake)
        except ValueError:
            continue  # Before 3.13, C does not say what it takes.
        assert same_parameters(own, namesake), (method, inspect.signature(own), inspect.signature(namesake))
    if isinstance(getattr(threading if module == "threading" else queue, name), type):
        assert same_parameters(ours, theirs), (inspect.signature(ours), inspect.signature(theirs))


@pytest.mark.parametrize("package", ["", "oneloom."])
def test_arguments_go_by_name(package):
    t, q = (importlib.import_module(f"{package}{module}") for module in ("threading", "queue"))
    for lock in (t.Lock(), t.RLock(), t.Condition(lock=t.Lock())):
        assert lock.acquire(blocking=True, timeout=-1)
    semaphore = t.Semaphore(value=0)
    assert not semaphore.acquire(blocking=True, timeout=0)
    semaphore.release(n=2)
    assert semaphore.acquire(blocking=False, timeout=None) and semaphore.acquire(timeout=1)
    assert not t.Event().wait(timeout=0)
    with t.Condition(lock=None) as _, t.Condition() as _:
        pass
    condition = t.Condition()
    with condition:
        condition.notify(n=1)
        assert not condition.wait(timeout=0)
        assert condition.wait_for(predicate=lambda: 5, timeout=0) == 5
    assert t.Barrier(parties=1, action=None, timeout=None).wait(timeout=1) == 0
    timer = t.Timer(interval=0, function=int, args=None, kwargs=None)
    timer.start()
    timer.join(timeout=None)
    jobs = q.Queue(maxsize=2)
    jobs.put(item=1, block=True, timeout=None)
    jobs.put_nowait(item=2)
    assert [jobs.get(block=True, timeout=1), jobs.get_nowait()] == [1, 2]
    simple = q.SimpleQueue()
    simple.put(item=1, block=True, timeout=None)
    simple.put_nowait(item=2)
    assert [simple.get(block=True, timeout=None), simple.get_nowait()] == [1, 2]


def filled(module, maxsize):
    """How many items go into a queue, up to five; and what it says of its size, where that is a whole number."""
    made = module.Queue(maxsize)
    while made.qsize() < 5 and not made.full():
        made.put("item", timeout=0)
    return made.qsize(), made.maxsize if maxsize in (2, 2.0, 0, -3) else None


@pytest.mark.parametrize("maxsize", [2, 2.0, 1.5, 0.5, 0, -3, True, *map(float, ("inf", "-inf", "nan")), 2**64, -(2**64), 10**400])
def test_maxsize_is_any_number(maxsize):
    assert filled(oneloom.queue, maxsize) == filled(queue, maxsize)


@pytest.mark.parametrize("maxsize", [0, -1, 1, 1.5])
@pytest.mark.parametrize("block", [True, False])
@pytest.mark.parametrize("touched", [True, False])
def test_put_refuses_a_negative_timeout_where_the_namesake_does(maxsize, block, touched):
    def put(module):
        made = module.Queue(maxsize)
        assert not touched or made.mutex
        made.put(1, block, -1)

    assert outcome(lambda: put(oneloom.queue)) == outcome(lambda: put(queue))


def test_whole_numbers_may_be_floats():
    assert oneloom.threading.Semaphore(4 / 2)._value == oneloom.threading.BoundedSemaphore(2.0)._value == 2
    assert oneloom.threading.Barrier(1.0).wait() == 0
    for wrong in (1.5, float("inf"), float("nan")):
        with pytest.raises(TypeError):
            oneloom.threading.Semaphore(wrong)


def test_an_error_of_the_queue_can_be_pickled_and_the_queue_not():
    assert pickle.loads(pickle.dumps(oneloom.queue.Empty())).__class__ is queue.Empty
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(oneloom.queue.Queue())
