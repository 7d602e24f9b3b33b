"""Deadlocks that are not certain: the report after a second, the error once the whole process is quiet, and the silence
where anything outside may still help.
"""

import re

import pytest

from deadlock_programs import case, ended, reports, results  # noqa: F401

# --- quiescence -------------------------------------------------------------------------------------------------------

QUIET = [
    case(
        "ten threads cross two locks with bare acquires",
        """
        one, two = oneloom.Lock(name="one"), oneloom.Lock(name="two")
        meet = threading.Barrier(2)
        def cross(first, second, begin):
            first.acquire()
            if begin: meet.wait()
            second.acquire()
            second.release()
            first.release()
        thread(cross, one, two, True, name="crosser-0")
        thread(cross, two, one, True, name="crosser-1")
        until(lambda: one.statistics().waiting and two.statistics().waiting)
        for number in range(2, 10):
            thread(cross, *((one, two) if number % 2 else (two, one)), False, name=f"crosser-{number}")
            # The next one only when this one waits: the order of their waits is what the test is about.
            until(lambda: one.statistics().waiting + two.statistics().waiting == number + 1)
        """,
    ),
    case(
        "a foreground thread is left in Queue.get while main waits at exit",
        """
        queue = oneloom.Queue(name="forgotten")
        thread(queue.get, name="consumer")
        """,
    ),
    case(
        "threads wait for each other's permits while main joins",
        """
        one, two = oneloom.Semaphore(0, name="one"), oneloom.Semaphore(0, name="two")
        def wait(first, second):
            first.acquire()
            second.release()
        made = [thread(wait, one, two), thread(wait, two, one)]
        for each in made: catch(each.join)
        """,
    ),
    case("main takes a bare lock twice", "lock = oneloom.Lock(name='x'); lock.acquire(); catch(lock.acquire)"),
    case("main waits for an item", "catch(oneloom.Queue(name='x').get)"),
    case("main waits for room", "queue = oneloom.Queue(1, name='x'); queue.put(1); catch(queue.put, 2)"),
    case("main waits for work to be done", "queue = oneloom.Queue(name='x'); queue.put(1); catch(queue.join)"),
    case("main waits for a permit", "catch(oneloom.Semaphore(0, name='x').acquire)"),
    case("main waits at a barrier", "catch(oneloom.Barrier(2, name='x').wait)"),
    case("main waits for an item of a simple queue", "catch(oneloom.SimpleQueue(name='x').get)"),
    case(
        "drop-in locks cross",
        """
        one, two = oneloom.threading.Lock(), oneloom.threading.Lock()
        meet = threading.Barrier(2)
        def cross(first, second):
            with first:
                meet.wait()
                with second: pass
        thread(cross, one, two)
        thread(cross, two, one)
        """,
    ),
    case(
        "a thread waits for an event that nobody is left to set",
        """
        event = oneloom.Event(name="never")
        thread(event.wait)
        """,
    ),
    case(
        "daemon threads wait too",
        """
        queue = oneloom.Queue()
        for _ in range(3): thread(oneloom.Event().wait, daemon=True)
        catch(queue.get)
        """,
    ),
    case(
        "loops have run, but run no more",
        """
        async def main():
            lock = oneloom.Lock()
            async with lock: await asyncio.sleep(0.01)
        oneloom.run(main())
        catch(oneloom.Queue().get)
        """,
    ),
    case(
        "the dump waits for its signal",
        """
        oneloom.dump_on_signal(signal.SIGUSR2)
        catch(oneloom.Queue().get)
        """,
    ),
]


@pytest.mark.parametrize("name", QUIET)
def test_a_quiet_process_ends_by_itself(results, name):
    result = ended(results, name)
    assert "DeadlockError" in result.out, result
    times = [float(after) for after in re.findall(r"after ([0-9.]+) s", result.out)]
    # Never before a second has shown that it is quiet.
    assert min(times) >= 1.0 and max(times) < 40, result


@pytest.mark.parametrize("name", QUIET[:1])
def test_ten_crossing_threads_all_end(results, name):
    out = ended(results, name).out
    assert sorted(re.findall(r"^crosser-\d", out, re.M)) == [f"crosser-{number}" for number in range(10)]
    # The first victim is the latest waiter.
    assert out.startswith("crosser-9 DeadlockError"), out
    assert "one" in out and "two" in out


@pytest.mark.parametrize("name", QUIET[1:2])
def test_the_left_thread_is_named(results, name):
    result = ended(results, name)
    assert "consumer DeadlockError" in result.out and "forgotten" in result.out, result


# --- main in Event.wait or Condition.wait: waiting there for Ctrl-C is an idiom -----------------------------------------

IDIOM = [
    case("main waits for an event", "print('begun'); oneloom.Event(name='x').wait()", timeout=6, hangs=True),
    case(
        "main waits for a condition",
        "condition = oneloom.Condition(name='x')\nprint('begun')\nwith condition: condition.wait()",
        timeout=6,
        hangs=True,
    ),
    case(
        "main waits for an event, others wait for items",
        """
        for _ in range(2): thread(oneloom.Queue().get)
        print('begun')
        oneloom.Event().wait()
        """,
        timeout=6,
        hangs=True,
    ),
]


@pytest.mark.parametrize("name", IDIOM)
def test_main_may_wait_for_ctrl_c(results, name):
    result = ended(results, name)
    assert result.timed_out and result.out == "begun\n", result
    assert reports(result) == 1, result


# --- never where something may still help -------------------------------------------------------------------------------

# The main thread waits for a thread that waits for a bare lock; `helper` releases the lock after 2.5 seconds.
STUCK = """
lock = oneloom.Lock(name="bare")
lock.acquire()
{helper}
thread(lock.acquire, name="stuck").join()
say("end", f"{{time.monotonic() - started:.1f}}")
"""
HELPERS = {
    "a sleeping thread": "threading.Thread(target=lambda: (time.sleep(2.5), lock.release())).start()",
    "a sleeping daemon thread": "threading.Thread(target=lambda: (time.sleep(2.5), lock.release()), daemon=True).start()",
    "a timer": "threading.Timer(2.5, lock.release).start()",
    "an interval timer and its handler": """
signal.signal(signal.SIGALRM, lambda *_: lock.release())
signal.setitimer(signal.ITIMER_REAL, 2.5)""",
    "a signal of another process": """
signal.signal(signal.SIGUSR1, lambda *_: lock.release())
helper = subprocess.Popen(["sh", "-c", f"sleep 2.5; kill -USR1 {os.getpid()}"])""",
    "a running loop": """
async def release():
    await asyncio.sleep(2.5)
    lock.release()
threading.Thread(target=lambda: asyncio.run(release())).start()""",
    "a task that waits in our own queue with a timeout": """
async def release():
    try: await oneloom.Queue().get_async(timeout=2.5)
    except oneloom.queue.Empty: lock.release()
threading.Thread(target=lambda: asyncio.run(release())).start()""",
    "a uvloop": """
import uvloop
async def release():
    await asyncio.sleep(2.5)
    lock.release()
def serve():
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner: runner.run(release())
threading.Thread(target=serve).start()""",
    "a process that a thread waits for": """
def wait():
    subprocess.run(["sleep", "2.5"])
    lock.release()
threading.Thread(target=wait).start()""",
    "a pipe": """
reading, writing = os.pipe()
subprocess.Popen(["sh", "-c", f"sleep 2.5; echo >&{writing}"], pass_fds=[writing])
threading.Thread(target=lambda: (os.read(reading, 1), lock.release())).start()""",
    "a thread in select": "threading.Thread(target=lambda: (select.select([], [], [], 2.5), lock.release())).start()",
    "a timed wait of ours": """
def wait():
    oneloom.Event().wait(timeout=2.5)
    lock.release()
oneloom.Thread(target=wait).start()""",
    "a timed wait of the standard library": "threading.Thread(target=lambda: (threading.Event().wait(2.5), lock.release())).start()",
    "a thread that computes": """
def compute():
    while time.monotonic() < started + 2.5: sum(range(1000))
    lock.release()
threading.Thread(target=compute).start()""",
    "a thread that waits for a signal": """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
subprocess.Popen(["sh", "-c", f"sleep 2.5; kill -USR1 {os.getpid()}"])
threading.Thread(target=lambda: (signal.sigwait([signal.SIGUSR1]), lock.release())).start()""",
}
HELPED = [case(f"helped by {name}", STUCK.format(helper=helper)) for name, helper in HELPERS.items()]


@pytest.mark.parametrize("name", HELPED)
def test_nothing_is_raised_where_something_may_still_help(results, name):
    result = ended(results, name)
    assert "DeadlockError" not in result.out + result.err, result
    assert "stuck went on" in result.out, result
    assert float(result.out.split()[-1]) >= 2.4, result


NATIVE = case(
    "a native thread sleeps",
    """
    lock = oneloom.Lock(name="bare")
    lock.acquire()
    libc = ctypes.CDLL(None)
    native = ctypes.c_ulong()
    libc.pthread_create(ctypes.byref(native), None, ctypes.cast(libc.usleep, ctypes.c_void_p), ctypes.c_void_p(4_000_000))
    catch(lock.acquire)
    """,
)


@pytest.mark.parametrize("name", [NATIVE])
def test_a_native_thread_makes_it_a_report_until_it_ends(results, name):
    result = ended(results, name)
    after = float(re.search(r"after ([0-9.]+) s", result.out)[1])
    assert after >= 4.0, result
    assert reports(result) >= 1 and "thread" in result.err, result


TIMED = [
    case("timed waits cross for ever", """
        one, two = oneloom.Lock(), oneloom.Lock()
        one.acquire(), two.acquire()
        def wait(lock): say("timed out", not lock.acquire(timeout=3))
        made = [thread(wait, one), thread(wait, two)]
        for each in made: each.join()
        """),
    case("main waits with a timeout", "say('timed out', not oneloom.Event().wait(timeout=3))"),
    case("main joins with a timeout", """
        queue = oneloom.Queue()
        left = thread(queue.get, daemon=True)
        left.join(timeout=3)
        say("timed out", left.is_alive())
        """),
]  # fmt: skip


@pytest.mark.parametrize("name", TIMED)
def test_timed_waits_only_time_out(results, name):
    result = ended(results, name)
    assert "timed out True" in result.out and "False" not in result.out, result
    assert "DeadlockError" not in result.out + result.err, result


# --- suspected --------------------------------------------------------------------------------------------------------

CROSSING_TASKS = """
one, two = oneloom.Lock(name="one"), oneloom.Lock(name="two")
async def take(first, second):
    async with first:
        await asyncio.sleep(0.01)
        async with second: pass
async def main():
    tasks = [asyncio.create_task(take(one, two), name="forwards"), asyncio.create_task(take(two, one), name="backwards")]
    await asyncio.sleep(3.5)
    say("pending", sum(not task.done() for task in tasks))
    for task in tasks: task.cancel()
    for end in await asyncio.gather(*tasks, return_exceptions=True): say(type(end).__name__, str(end).replace("\\n", " | "))
    say("locked", one.locked(), two.locked(), one.statistics().waiting + two.statistics().waiting)
{policy}
oneloom.run(main())
"""
TASKS = {
    policy: case(f"tasks cross, policy {policy}", CROSSING_TASKS.format(policy=policy and f"oneloom.deadlock.policy(tasks={policy!r})"))
    for policy in ("", "warn", "raise", "off")
}


@pytest.mark.parametrize("name", [TASKS[""], TASKS["warn"]])
def test_tasks_that_await_each_other_are_reported_once(results, name):
    result = ended(results, name)
    assert result.out.startswith("pending 2\nCancelledError"), result
    assert result.out.endswith("locked False False 0\n"), result
    assert reports(result) == 1, result
    for word in ("forwards", "backwards", "one", "two"):
        assert word in result.err, result


@pytest.mark.parametrize("name", [TASKS["raise"]])
def test_tasks_that_await_each_other_get_an_error_if_asked_for(results, name):
    result = ended(results, name)
    assert result.out.count("DeadlockError") == 1 and "CancelledError" not in result.out, result
    assert result.out.startswith("pending 0\n") and result.out.endswith("locked False False 0\n"), result
    for word in ("forwards", "backwards", "one", "two"):
        assert word in result.out, result


@pytest.mark.parametrize("name", [TASKS["off"]])
def test_tasks_that_await_each_other_are_left_alone_if_asked_for(results, name):
    result = ended(results, name)
    assert result.out.startswith("pending 2\n") and result.err == "", result


SUSPECTED = {
    "bare holds": """
        one, two = oneloom.Lock(name="one"), oneloom.Lock(name="two")
        meet = threading.Barrier(2)
        def cross(first, second):
            first.acquire()
            meet.wait()
            second.acquire()
        for locks in ((one, two), (two, one)): thread(cross, *locks)
        time.sleep(3.5)
        one.release(); two.release()
        """,
    "drop-in locks": """
        one, two = oneloom.threading.Lock(), oneloom.threading.Lock()
        meet = threading.Barrier(2)
        def cross(first, second):
            with first:
                meet.wait()
                second.acquire()
        for locks in ((one, two), (two, one)): thread(cross, *locks)
        time.sleep(3.5)
        one.release()
        time.sleep(0.5)
        os._exit(0)
        """,
    "a thread and a task that awaits": """
        one, two = oneloom.Lock(name="one"), oneloom.Lock(name="two")
        meet = threading.Barrier(2)
        def cross():
            with one:
                meet.wait()
                with two: pass
        async def cross_async():
            async with two:
                meet.wait()
                await one.acquire_async()
        async def main():
            task = asyncio.create_task(cross_async())
            await asyncio.sleep(3.5)
            task.cancel()
        thread(cross)
        oneloom.run(main())
        """,
    "a cycle through main with a signal handler": """
        class Help(Exception): pass
        def help(*_): raise Help
        signal.signal(signal.SIGUSR1, help)
        one, two = oneloom.Lock(name="one"), oneloom.Lock(name="two")
        meet = threading.Barrier(2)
        def cross(first, second):
            with first:
                meet.wait()
                with second: pass
        other = thread(cross, two, one)
        subprocess.Popen(["sh", "-c", f"sleep 3.5; kill -USR1 {os.getpid()}"])
        try: cross(one, two)
        except Help: say("helped")
        other.join()
        """,
}
SUSPECTED_CASES = [case(f"suspected: {name}", code) for name, code in SUSPECTED.items()]


@pytest.mark.parametrize("name", SUSPECTED_CASES)
def test_a_suspicion_is_reported_once_and_nothing_raised(results, name):
    result = ended(results, name)
    assert reports(result) == 1, result
    assert "suspected" in result.err, result
    assert "DeadlockError" not in result.out, result
