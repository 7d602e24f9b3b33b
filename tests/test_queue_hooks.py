"""Queues with hooks of their own behave as the standard library's do; and how such queues are copied and dropped.

The same program runs on the standard library's queue and on ours.
"""

import collections
import copy
import gc
import itertools
import pickle
import queue
import weakref

import pytest

import oneloom
import oneloom.queue
from conftest import start_thread

KINDS = ["Queue", "LifoQueue", "PriorityQueue"]
MODULES = pytest.mark.parametrize("module", [queue, oneloom.queue], ids=["standard", "oneloom"])


def touched(*items):
    """A queue that follows the standard algorithm, because somebody used its mutex."""
    made = oneloom.queue.Queue()
    for item in items:
        made.put(item)
    assert made.mutex
    return made


def drained(items):
    got = []
    while not items.empty():
        got.append(items.get_nowait())
    return got


# Recipes.


@MODULES
def test_a_queue_of_unique_items(module):
    class UniqueQueue(module.Queue):
        def _init(self, maxsize):
            self.queue = set()

        def _put(self, item):
            self.queue.add(item)

        def _get(self):
            return self.queue.pop()

        def __contains__(self, item):
            with self.mutex:
                return item in self.queue

    items = UniqueQueue(2)
    items.put("a")
    items.put("a")
    assert "a" in items and "b" not in items
    items.put("b", timeout=1)
    with pytest.raises(queue.Full):
        items.put_nowait("c")
    assert sorted([items.get(), items.get()]) == ["a", "b"]
    assert items.unfinished_tasks == 3


@MODULES
def test_a_queue_of_last_values(module):
    class LastValues(module.Queue):
        def _init(self, maxsize):
            self.values = collections.OrderedDict()

        def _qsize(self):
            return len(self.values)

        def _put(self, item):
            key, value = item
            self.values[key] = value
            self.values.move_to_end(key)

        def _get(self):
            return self.values.popitem(last=False)

    items = LastValues()
    for item in [("x", 1), ("y", 2), ("x", 3)]:
        items.put(item)
    assert items.qsize() == 2
    assert drained(items) == [("y", 2), ("x", 3)]


@MODULES
def test_a_priority_queue_with_counters_over_the_base_class(module):
    class Fair(module.PriorityQueue):
        def __init__(self):
            self.counter = itertools.count()
            super().__init__()

        def _put(self, item):
            priority, value = item
            super()._put((priority, next(self.counter), value))

        def _get(self):
            return super()._get()[-1]

    items = Fair()
    for item in [(2, object), (1, dict), (2, list), (1, set)]:
        items.put(item)
    assert drained(items) == [dict, set, object, list]


@MODULES
def test_hooks_taken_from_another_class(module):
    class Stack(module.Queue):
        _init = module.LifoQueue._init
        _get = module.LifoQueue._get

        def _put(self, item):
            module.LifoQueue._put(self, item)

    items = Stack()
    for number in range(3):
        items.put(number)
    assert drained(items) == [2, 1, 0]


@MODULES
def test_a_subclass_with_methods_and_names_of_its_own(module):
    class Peekable(module.Queue):
        def __init__(self, name, /, **kwargs):
            super().__init__(**kwargs)
            self.name = name

        def peek(self):
            with self.not_empty:
                while not self._qsize():
                    self.not_empty.wait()
                return self.queue[0]

        def put_front(self, item):
            with self.mutex:
                self.queue.appendleft(item)
                self.unfinished_tasks += 1
                self.not_empty.notify()

    items = Peekable("peekable", maxsize=3)
    assert items.name == "peekable"
    got = []
    thread = start_thread(lambda: got.append(items.peek()))
    items.put(2)
    thread.join(20)
    items.put_front(1)
    assert (got, drained(items), items.unfinished_tasks) == ([2], [1, 2], 2)


@MODULES
def test_a_name_that_a_subclass_gives_later_is_not_asked_for_before(module):
    class Tagged(module.Queue):
        def __init__(self, tag):
            super().__init__()
            self.tag = tag

        @property
        def name(self):
            return self.tag

        def _put(self, item):
            super()._put((self.tag, item))

    items = Tagged("a")
    items.put(1)
    assert (items.name, items.get()) == ("a", ("a", 1))


@MODULES
def test_put_nowait_and_get_nowait_go_through_overridden_put_and_get(module):
    class Doubled(module.Queue):
        def put(self, item, block=True, timeout=None):
            super().put(2 * item, block, timeout)

        def get(self, block=True, timeout=None):
            return -super().get(block, timeout)

    items = Doubled(1)
    items.put_nowait(4)
    with pytest.raises(queue.Full):
        items.put_nowait(1)
    assert items.get_nowait() == -8


def recorded(module, base):
    """Every call of a hook in one program, with the queue's size and whether the mutex was held."""
    calls = []

    class Recording(getattr(module, base)):
        def _init(self, maxsize):
            calls.append(("_init", maxsize, self.maxsize))
            super()._init(maxsize)

        def _put(self, item):
            calls.append(("_put", item, self.mutex.locked(), len(self.queue)))
            super()._put(item)

        def _get(self):
            calls.append(("_get", self.mutex.locked(), len(self.queue)))
            return super()._get()

        def _qsize(self):
            assert self.mutex.locked()
            return super()._qsize()

    items = Recording(2)
    items.put(3)
    items.put(1)
    with pytest.raises(queue.Full):
        items.put(2, timeout=0)
    calls.append((items.qsize(), items.empty(), items.full(), items.unfinished_tasks))
    calls.append((items.get(), items.get(timeout=1)))
    with pytest.raises(queue.Empty):
        items.get_nowait()
    items.task_done()
    items.task_done()
    with pytest.raises(ValueError, match="task_done"):
        items.task_done()
    items.join()
    return calls


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_are_called_as_the_standard_library_calls_them(kind):
    assert recorded(oneloom.queue, kind) == recorded(queue, kind)


@MODULES
@pytest.mark.parametrize("hook", ["_put", "_get", "_qsize"])
def test_a_hook_that_raises_leaves_the_queue_usable(module, hook):
    class Failing(module.Queue):
        failing = False

    def override(self, *args):
        if self.failing:
            raise ZeroDivisionError
        return getattr(module.Queue, hook)(self, *args)

    setattr(Failing, hook, override)
    items = Failing(1)
    act = (lambda: items.put(1, timeout=5)) if hook == "_put" else (lambda: items.get(timeout=5))
    if hook != "_put":
        items.put(1)
    items.failing = True
    with pytest.raises(ZeroDivisionError):
        act()
    items.failing = False
    assert (items.unfinished_tasks, items.qsize(), items.mutex.locked()) == (hook != "_put", hook != "_put", False)
    act()
    assert items.empty() == (hook != "_put")


@MODULES
def test_initializing_again_begins_anew(module):
    class Listed(module.Queue):
        def _put(self, item):
            self.queue.append([item])

    items = Listed(1)
    items.put(1)
    items.__init__(2)
    assert (items.maxsize, items.unfinished_tasks, items.empty()) == (2, 0, True)


@MODULES
@pytest.mark.parametrize("kind", KINDS)
def test_initializing_a_used_queue_again_empties_it(module, kind):
    items = getattr(module, kind)(2)
    items.put(1)
    items.put(2)
    items.get()
    items.__init__(1)
    items.put_nowait(3)
    assert (items.maxsize, items.unfinished_tasks, items.full(), drained(items)) == (1, 1, True, [3])


def test_a_hook_assigned_to_one_queue_counts_for_that_one():
    items, other = oneloom.queue.Queue(), oneloom.queue.Queue()
    items.put(1)
    other.put(1)
    items._put = lambda item: items.queue.appendleft(item)
    for each in (items, other):
        each.put(2)
    assert (drained(items), drained(other)) == ([2, 1], [1, 2])
    del items._put
    items.put(3)
    items.put(4)
    assert drained(items) == [3, 4]
    with pytest.raises(AttributeError):
        del items._put


# Lifetime and copies.


@pytest.mark.parametrize("touch", [False, True])
def test_a_queue_cannot_be_pickled_or_copied(touch):
    items = touched() if touch else oneloom.queue.Queue()
    for call in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            call(items)


class Saved(oneloom.queue.Queue):
    def __getstate__(self):
        return self.maxsize, list(self.queue)

    def __setstate__(self, state):
        maxsize, items = state
        self.__init__(maxsize)
        self.queue.extend(items)


def test_a_subclass_that_knows_its_state_can_be_pickled():
    items = Saved(5)
    items.put(1)
    again = pickle.loads(pickle.dumps(items))
    assert (type(again), again.maxsize, drained(again)) == (Saved, 5, [1])


def test_a_dropped_queue_is_gone_without_a_collection():
    class Item:
        pass

    items = touched(Item())
    watched = [weakref.ref(items), weakref.ref(items.queue[0])]
    gc.disable()
    try:
        del items
        assert [each() for each in watched] == [None, None]
    finally:
        gc.enable()


def test_a_queue_that_holds_itself_is_collected():
    items = touched()
    items.put(items)
    watched = weakref.ref(items)
    del items
    gc.collect()
    assert watched() is None
