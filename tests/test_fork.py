"""Fork, by `os.fork` and by the C library behind Python's back: a child can use every object, whatever the parent's threads did.

Objects that nobody was changing keep their state; the parent's waiters are not the child's; a lock whose holder is a thread
that the child does not have answers instead of hanging.
"""

import textwrap

import pytest

from conftest import STRESS, run_program
from test_methods import COMMON, METHODS

# A raw fork copies the process between any two instructions of the other threads. Python's own lock could be copied half
# taken then, so the forking thread first keeps the interpreter for long enough that all others are waiting for it.
FORK = """
def raw_fork():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)
    end = time.monotonic() + 0.002
    while time.monotonic() < end: pass
    try:
        return ctypes.PyDLL(None).fork()
    finally:
        sys.setswitchinterval(interval)
import warnings; warnings.simplefilter("ignore", DeprecationWarning)
fork = {"os": os.fork, "raw": raw_fork}[sys.argv[1]]

def in_child(work, seconds=20):
    # Only the status tells the parent anything: output of the child might wait in a buffer of the parent's.
    pid = fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        status = 99
        try:
            status = work() or 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""

WENT_ON, ANSWERED, SUSPECTED, STILL_WAITING = 0, 10, 11, 20
# What must be answered at once is so before anything looks whether the process has become quiet.
AT_ONCE = 0.9


def indent(text, depth=1):
    return textwrap.indent(text, "    " * depth)


def program_over(method):
    help = method.help if method.orphan_help is None else method.orphan_help
    if method.is_async:
        # An await is never certain to last for ever, so an orphan's may go on until somebody ends it: here, whoever hears
        # that it is suspected to.
        call = f"""
async def waiting():
{indent(method.call_with())}
async def waiting_in_child():
    async with asyncio.timeout(20) as limit:
        show, loop = warnings.showwarning, asyncio.get_running_loop()
        def show_and_end(*warning, **more):
            show(*warning, **more)
            loop.call_soon_threadsafe(limit.reschedule, 0)
        warnings.showwarning = show_and_end
        await waiting()
def wait(): asyncio.run(waiting() if os.getpid() == parent or not {method.may_answer} else waiting_in_child())
"""
    else:
        call = f"def wait():\n{indent(method.call_with())}"
    return f"""{COMMON}{FORK}
parent = os.getpid()
{method.setup}
{call}
waiter = daemon(wait)
until(lambda: waiter.native_id)
until_asleep(waiter.native_id)

def aid():
    until_asleep(os.getpid())
{indent(help)}

def waiting_now():
    return subject.statistics().waiting if hasattr(subject, "statistics") else None

def child():
    if waiting_now():
        return {STILL_WAITING}
    daemon(aid)
    try:
        wait()
    except oneloom.DeadlockError:
        return {ANSWERED}
    except RuntimeError as error:
        # The result of a thread that has not come along.
        return {ANSWERED} if "fork" in str(error) else 1
    except TimeoutError:
        return {SUSPECTED}

before = waiting_now()
print(in_child(child))
# The parent has noticed nothing.
assert waiting_now() == before, (before, subject.statistics())
{method.help}
waiter.join(20)
print(waiter.is_alive())
"""


@pytest.mark.parametrize("how", ["os", "raw"])
@pytest.mark.parametrize("method", [pytest.param(m, id=m.id) for m in METHODS if not (m.in_loop or m.in_parent)])
def test_a_child_does_not_inherit_the_wait_of_a_thread_it_does_not_have(method, how):
    result = run_program(program_over(method), how).check()
    child, parent = result.out.split()
    expected = {WENT_ON}
    if method.may_answer:
        expected |= {ANSWERED, SUSPECTED} if method.is_async else {ANSWERED}
    assert int(child) in expected, result
    assert parent == "False", result
    # What is suspected is reported; else there is nothing to say.
    assert result.err.count("DeadlockWarning") == (int(child) == SUSPECTED), result
    if int(child) != SUSPECTED:
        assert result.err == "", result


def run_both(code, how):
    result = run_program(COMMON + FORK + textwrap.dedent(code), how, timeout=60 * max(1, STRESS)).check()
    assert result.err == "", result
    return result.out


@pytest.mark.parametrize("how", ["os", "raw"])
def test_a_child_keeps_the_state_of_what_nobody_was_changing(how):
    code = """
    queue = oneloom.Queue()
    for number in range(1000): queue.put(number)
    heap = oneloom.PriorityQueue()
    for number in (3, 1, 2): heap.put(number)
    semaphore = oneloom.Semaphore(3); semaphore.acquire()
    event = oneloom.Event(); event.set()
    lock = oneloom.Lock(); lock.acquire()
    reentrant = oneloom.RLock(); reentrant.acquire(); reentrant.acquire()
    def child():
        assert [queue.get() for _ in range(1000)] == list(range(1000))
        assert queue.empty() and queue.unfinished_tasks == 1000
        assert [heap.get() for _ in range(3)] == [1, 2, 3]
        assert semaphore.acquire(False) and semaphore.acquire(False) and not semaphore.acquire(False)
        assert event.is_set() and event.wait()
        assert lock.locked(); lock.release(); assert not lock.locked()
        # The forking thread is the same thread in the child.
        reentrant.release(); reentrant.release()
        with reentrant: pass
    print(in_child(child), queue.qsize(), heap.qsize(), event.is_set(), lock.locked())
    """
    assert run_both(code, how) == "0 1000 3 True True\n"


@pytest.mark.parametrize("how", ["os", "raw"])
def test_a_lock_held_by_a_thread_that_is_not_there_answers(how):
    code = f"""
    AT_ONCE = {AT_ONCE}
    lock, reentrant = oneloom.Lock(name="orphan"), oneloom.RLock(name="orphan")
    ready, leave = threading.Event(), threading.Event()
    def hold():
        with lock, reentrant:
            ready.set()
            leave.wait()
    daemon(hold)
    ready.wait()
    def child():
        for each in (lock, reentrant):
            started = time.monotonic()
            try:
                each.acquire()
            except oneloom.DeadlockError as error:
                assert "orphan" in str(error), error
                assert time.monotonic() - started < AT_ONCE, "not at once"
            else:
                return 1
            assert each.acquire(blocking=False) is False
            assert each.acquire(timeout=0.01) is False
    print(in_child(child))
    leave.set()
    print(lock.acquire(timeout=20), reentrant.acquire(timeout=20))
    """
    assert run_both(code, how) == "0\nTrue True\n"


@pytest.mark.parametrize("how", ["os", "raw"])
def test_a_child_of_a_child_works_too(how):
    code = """
    queue = oneloom.Queue(); queue.put("from the top")
    waiting = oneloom.Queue()
    waiter = daemon(waiting.get)
    until(lambda: waiting.statistics().waiting_getters == 1)
    def grandchild():
        assert waiting.statistics().waiting_getters == 0
        return 7 if queue.get() == "from the top" else 1
    def child():
        assert waiting.statistics().waiting_getters == 0
        thread = daemon(waiting.get)
        until(lambda: waiting.statistics().waiting_getters == 1)
        return in_child(grandchild)
    print(in_child(child))
    """
    assert run_both(code, how) == "7\n"


@pytest.mark.parametrize("how", ["os", "raw"])
def test_a_child_runs_loops_and_threads_of_its_own(how):
    code = """
    async def session(queue):
        async def consume():
            return [item async for item in queue]
        consumer = asyncio.create_task(consume())
        thread = oneloom.Thread(target=lambda: ([queue.put(number) for number in range(100)], queue.shutdown()))
        thread.start()
        await thread
        return await consumer
    def work():
        assert oneloom.run(session(oneloom.Queue(3))) == list(range(100))
    work()
    print(in_child(work))
    work()
    print("parent")
    """
    assert run_both(code, how) == "0\nparent\n"


def test_a_child_that_ends_as_a_program_does_not_wait_for_threads_of_its_parent():
    code = """
    queue, gate = oneloom.Queue(), oneloom.Event()
    threads = [oneloom.Thread(target=queue.get), oneloom.Thread(target=gate.wait)]
    for thread in threads: thread.start()
    until(lambda: queue.statistics().waiting_getters == 1 and gate.statistics().waiting == 1)
    pid = os.fork()
    if pid == 0:
        sys.exit(5)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    queue.put(1); gate.set()
    """
    assert run_both(code, "os") == "5\n"


@pytest.mark.stress
@pytest.mark.parametrize("how", ["os", "raw"])
def test_forks_under_load_give_children_in_which_everything_works(how):
    code = f"""
    ROUNDS = {int(20 * STRESS)}
    lock, reentrant, semaphore = oneloom.Lock(), oneloom.RLock(), oneloom.Semaphore(2)
    event, condition = oneloom.Event(), oneloom.Condition()
    queue, stack, heap, simple = oneloom.Queue(4), oneloom.LifoQueue(4), oneloom.PriorityQueue(4), oneloom.SimpleQueue()
    queues = (queue, stack, heap, simple)
    stop = False
    def load(number):
        while not stop:
            with lock: pass
            with reentrant:
                with reentrant: pass
            with semaphore: pass
            (event.clear if number % 2 else event.set)()
            with condition: condition.notify_all()
            for each in queues:
                each.put(number)
            for each in queues:
                each.get()
    async def load_async():
        while not stop:
            async with lock: pass
            async with semaphore: pass
            await queue.put_async(9)
            await queue.get_async()
            await asyncio.sleep(0)
    for number in range(4): daemon(lambda number=number: load(number))
    daemon(lambda: asyncio.run(load_async()))

    def answers(call):
        # A holder that is not there is an answer; everything else must simply work.
        try:
            call()
        except oneloom.DeadlockError:
            pass
    def held(each):
        with each: pass
    def fork_and_check():
        if sys.argv[1] == "os":
            return in_child(child, 60)
        # A raw fork copies the interpreter's own lock, too, and what waits for that would hang the child in any program:
        # so first let all others fall asleep, wherever in oneloom that is.
        with lock:
            for each in threading.enumerate():
                if each is not threading.current_thread():
                    until_asleep(each.native_id)
            return in_child(child, 60)
    def child():
        if sys.argv[1] == "raw":
            lock.__exit__(None, None, None)
        for each in (lock, reentrant, condition):
            answers(lambda: held(each))
        # Permits have no names: what the others held is gone with them.
        semaphore.release(2)
        with semaphore: pass
        event.set(); assert event.wait()
        for each in queues:
            while not each.empty():
                each.get(timeout=5)
            each.put(5); each.put(6)
            assert {{each.get(), each.get()}} == {{5, 6}}
            received = daemon(lambda: each.put(each.get(timeout=5) + 1))
            each.put(1)
            received.join(10)
            assert each.get() == 2
        for each in (lock, reentrant, semaphore, event, *queues):
            assert each.statistics().waiting == 0, each

    statuses = [fork_and_check() for _ in range(ROUNDS)]
    stop = True
    print(set(statuses))
    """
    assert run_both(code, how) == "{0}\n"


def test_multiprocessing_children_by_fork_use_objects_of_their_own():
    code = """
    import multiprocessing
    lock = oneloom.Lock()
    def work(number):
        with lock:
            return number * 2
    if __name__ == "__main__":
        with lock: pass
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(pool.map(work, range(5)))
    """
    assert run_both(code, "os") == "[0, 2, 4, 6, 8]\n"


@pytest.mark.stress
def test_a_fork_while_a_thread_waits_for_the_first_time_in_its_process():
    # What the first wait of a process makes can be made once only: so each round is a process that has not waited yet.
    code = f"""
    import _thread
    def round(locks):
        orphan, blocked = locks.RLock(), locks.Lock()
        blocked.acquire()
        held = []
        def hold():
            orphan.acquire()
            held.append(True)
            blocked.acquire()
        _thread.start_new_thread(hold, ())
        while not held: time.sleep(0)
        return in_child(lambda: orphaned(orphan))
    def orphaned(lock):
        try:
            lock.acquire()
        except oneloom.DeadlockError:
            return {ANSWERED}
    statuses = set()
    for number in range({int(60 * max(1, STRESS))}):
        if statuses - {{{ANSWERED}}}: break
        statuses.add(in_child(lambda: round((oneloom, oneloom.threading)[number % 2]), 60))
    print(statuses)
    """
    assert run_both(code, "os") == f"{{{ANSWERED}}}\n"
