"""The pytest plugin: `pytest --oneloom` runs unedited tests on oneloom, and a test that takes too long says who waits for whom.

Every run of pytest here is a process of its own, on generated files. The plugin is found as it is where oneloom is
installed: by the entry point that pyproject.toml declares, which `installed` writes down once more, so that the tests
also run where only PYTHONPATH leads to the package.
"""

import os
import re
import sys
import textwrap
import tomllib
import xml.etree.ElementTree
from pathlib import Path

import pytest

from conftest import finish, program

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.deadline(300)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder for PYTHONPATH in which oneloom counts as installed."""
    folder = tmp_path_factory.mktemp("site")
    metadata = folder / "oneloom-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: oneloom\nVersion: 0\n")
    (metadata / "RECORD").write_text("oneloom/__init__.py,,\npytest_oneloom/__init__.py,,\n")
    entry_points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    lines = ["[pytest11]", *(f"{name} = {target}" for name, target in entry_points.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def run(installed, tmp_path):
    """Run pytest on files given as `name="source"`, in a folder of their own."""
    return lambda *options, **files: run_pytest(installed, tmp_path, *options, **files)


def run_pytest(installed, folder, *options, launcher=("-m", "pytest"), plugins=(), **files):
    """With `plugins` beside oneloom's; None for all that the environment has."""
    for name, source in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(source))
    path = [str(installed), str(ROOT / "python"), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "", "PYTHONPATH": os.pathsep.join(path)}
    command = [sys.executable, *launcher, f"--rootdir={folder}", "-pno:cacheprovider", *options, str(folder)]
    if plugins is not None:
        # Others of the same environment would take part as well.
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        command += [f"-p{name}" for name in ("oneloom", *plugins)]
    with program("", command=command, env=environment) as child:
        return finish(child, timeout=60)


def counts(done):
    """What the last line of a run tells: `{"passed": 3, "failed": 1}`."""
    found = re.findall(r"(\d+) (passed|failed|errors?|warnings?)\b", done.out.splitlines()[-1] if done.out else "")
    return {kind.rstrip("s"): int(count) for count, kind in found}


# --- in the place of the standard modules -----------------------------------------------------------------------------

UNEDITED = """
    import asyncio
    import sys
    from queue import Queue
    from threading import Lock, Thread

    import conftest

    def test_unedited():
        results = Queue()
        thread = Thread(target=lambda: results.put(1))
        thread.start()
        assert results.get() == 1
        thread.join()

    def test_where_the_classes_come_from():
        print("from", conftest.Event.__module__, Queue.__module__, Lock.__module__, asyncio.Queue.__module__)
        print("imported", "oneloom" in sys.modules)
"""
CONFTEST = "from threading import Event\n"


def test_unedited_tests_and_conftests_run_on_oneloom(run):
    done = run("--oneloom", "-s", test_it=UNEDITED, conftest=CONFTEST).check()
    assert "from oneloom oneloom oneloom.threading oneloom.asyncio" in done.out, done
    assert "oneloom: its modules in the standard ones' place" in done.out, done


def test_without_an_option_nothing_is_imported_or_replaced(run):
    done = run("-s", "--strict-markers", test_it=UNEDITED, conftest=CONFTEST).check()
    assert "from threading queue _thread asyncio.queues" in done.out, done
    assert "imported False" in done.out and "oneloom:" not in done.out, done


def test_the_option_may_stand_in_the_configuration(run, tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --oneloom\noneloom_timeout = 0.5\n")
    hanging = "import queue\ndef test_that_hangs():\n    queue.Queue().get()\n"
    done = run(test_it=UNEDITED, conftest=CONFTEST, test_hanging=hanging).check(1)
    assert counts(done) == {"passed": 2, "failed": 1}, done
    assert "0.5 s for each test" in done.out and "test_hanging.py::test_that_hangs" in done.out, done


def test_pytest_under_the_runner_has_nothing_to_complain_about(run):
    done = run("-Werror", "-s", launcher=("-m", "oneloom", "-m", "pytest"), test_it=UNEDITED, conftest=CONFTEST)
    assert "from oneloom oneloom oneloom.threading oneloom.asyncio" in done.check().out, done


def test_pytest_finds_the_plugin_by_itself_and_can_leave_it_out(run):
    run("--oneloom", plugins=None, test_it=UNEDITED, conftest=CONFTEST).check()
    done = run("--oneloom", "-pno:oneloom", plugins=None, test_it=UNEDITED, conftest=CONFTEST)
    assert done.status == 4 and "--oneloom" in done.err, done


@pytest.mark.parametrize("option", ["--oneloom-timeout=-1", "-ooneloom_timeout=soon"])
def test_a_timeout_that_is_no_number_of_seconds_is_a_usage_error(run, option):
    done = run(option, test_it=UNEDITED, conftest=CONFTEST)
    assert done.status == 4 and "a time-out is a number of seconds" in done.err, done


# --- tests that take too long, and policies: one run for them all -----------------------------------------------------

LATE = """
    import asyncio
    import contextlib
    import queue
    import threading
    import time
    import unittest

    import oneloom
    import pytest
    import uvloop

    late = pytest.mark.oneloom(timeout=0.5)

    def test_nothing_moves():
        with pytest.raises(oneloom.DeadlockError, match="nothing in this process can move"):
            queue.Queue().get()

    def test_a_circle_through_the_main_thread():
        lock = oneloom.Lock()
        with lock, pytest.raises(oneloom.DeadlockError):
            lock.acquire()

    @pytest.mark.oneloom(cycles="off", tasks="raise")
    def test_with_a_policy():
        assert repr(oneloom.deadlock.policy()) == "oneloom.deadlock.policy(cycles='off', tasks='raise')"

    def test_after_a_policy():
        assert repr(oneloom.deadlock.policy()) == "oneloom.deadlock.policy(cycles='raise', tasks='warn')"

    @pytest.mark.oneloom(cycles="warn")
    class TestSeveralMarkers:
        @late
        def test_warned_and_late(self):
            assert repr(oneloom.deadlock.policy()) == "oneloom.deadlock.policy(cycles='warn', tasks='warn')"
            lock = oneloom.Lock(name="mine")
            with lock:
                lock.acquire()

        @pytest.mark.oneloom(cycles="raise")
        def test_the_closest_wins(self):
            assert repr(oneloom.deadlock.policy()) == "oneloom.deadlock.policy(cycles='raise', tasks='warn')"

    def test_a_threads_deadlock():
        lock = oneloom.Lock(name="twice")
        thread = threading.Thread(target=lambda: lock.__enter__() and lock.__enter__(), name="takes-it-twice")
        thread.start()
        thread.join()
        raise AssertionError("and the test fails")

    @late
    def test_held():
        lock, released = oneloom.Lock(name="savings"), threading.Event()
        def hold():
            with lock:
                released.wait()
        threading.Thread(target=hold, name="holder", daemon=True).start()
        while not lock.locked():
            time.sleep(0.001)
        lock.acquire()

    @late
    def test_elsewhere():
        threading.Thread(target=sleep_in_a_thread, name="sleeper", daemon=True).start()
        time.sleep(100)

    def sleep_in_a_thread():
        time.sleep(100)

    @late
    def test_caught():
        with contextlib.suppress(BaseException):
            queue.Queue().get()

    @late
    def test_another_error():
        try:
            queue.Queue().get()
        except BaseException:
            raise KeyError("of the test") from None

    @pytest.fixture
    def late_to_begin():
        queue.Queue(name="begins").get()

    @pytest.fixture
    def late_to_end():
        yield
        queue.Queue(name="ends").get()

    @late
    def test_late_setup(late_to_begin):
        pass

    @late
    def test_late_teardown(late_to_end):
        pass

    @late
    def test_late_twice(late_to_end):
        queue.Queue(name="calls").get()

    class TestUnittest(unittest.TestCase):
        @late
        def test_unittest(self):
            queue.Queue().get()

    class TestAsync(unittest.IsolatedAsyncioTestCase):
        @late
        async def test_async_unittest(self):
            await asyncio.Queue().get()

    async def wait_with_another_task():
        other = asyncio.create_task(asyncio.sleep(100), name="another")
        await oneloom.Queue(name="items").get_async()

    @late
    def test_coroutine():
        oneloom.run(wait_with_another_task())

    @late
    def test_uvloop():
        oneloom.run(wait_with_another_task(), loop_factory=uvloop.new_event_loop)

    @late
    def test_blocked_loop():
        async def block():
            queue.Queue(name="blocking").get()
        oneloom.run(block())

    @pytest.mark.oneloom(timeout="soon")
    def test_marker_without_seconds(): pass

    @pytest.mark.oneloom(cycles="sometimes")
    def test_marker_with_unknown_policy(): pass

    @pytest.mark.oneloom(5)
    def test_marker_with_a_bare_number(): pass

    def test_at_last():
        with oneloom.Lock():
            pass
"""


@pytest.fixture(scope="module")
def late(installed, tmp_path_factory):
    """For each test of that run, by its name: what its failure, its errors in setup or teardown, and its report say."""
    folder = tmp_path_factory.mktemp("late")
    report = folder / "report.xml"
    options = ["--oneloom", "--oneloom-timeout=20", f"--junitxml={report}", "--tb=short"]
    done = run_pytest(installed, folder, *options, test_it=LATE).check(1)
    texts = {}
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        name = case.get("name")
        outcomes = texts.setdefault(name, {"report": ""})
        if reported := re.search(rf"^_+ (?:\w+\.)?{name} _+$(.*?)^[_=]{{9}}", done.out, re.DOTALL | re.MULTILINE):
            outcomes["report"] = reported[1]
        for kind in ("failure", "error"):
            if (found := case.find(kind)) is not None:
                outcomes[kind] = f"{found.get('message')}\n{found.text}"
    return texts


PASSING = [
    "test_nothing_moves", "test_a_circle_through_the_main_thread", "test_with_a_policy", "test_after_a_policy",
    "test_the_closest_wins", "test_at_last",
]


@pytest.mark.parametrize("name", PASSING)
def test_passes_under_a_timeout(late, name):
    assert not {"failure", "error"} & late[name].keys(), late[name]


LATE_TESTS = {
    "test_held": ["waits for Lock 'savings', held by thread 'holder'", "thread 'holder' waits for Event"],
    "test_elsewhere": ["thread 'sleeper'", "in sleep_in_a_thread"],
    "test_warned_and_late": ["waits for Lock 'mine', held by thread 'MainThread'"],
    "test_caught": ["thread 'MainThread' waits for Queue"],
    "test_another_error": ["KeyError", "thread 'MainThread' waits for Queue"],
    "test_late_twice": ["waits for Queue 'calls'"],
    "test_unittest": ["thread 'MainThread' waits for Queue"],
    "test_async_unittest": ["task ", "in test_async_unittest"],
    "test_coroutine": ["waits for Queue 'items'", "task 'another'"],
    "test_uvloop": ["waits for Queue 'items'", "task 'another'"],
    "test_blocked_loop": ["thread 'MainThread' in task", "waits for Queue 'blocking'"],
}


@pytest.mark.parametrize("name", LATE_TESTS)
def test_who_is_late_fails_and_tells_who_waits_for_whom(late, name):
    told = late[name]["failure"]
    for words in ["took longer than 0.5 s: test_it.py::", name, *LATE_TESTS[name]]:
        assert words in told, told
    assert "pluggy" not in told.partition("took longer")[2], told


def test_fixtures_may_be_late_at_both_ends(late):
    for name, queue in [("test_late_setup", "begins"), ("test_late_teardown", "ends"), ("test_late_twice", "ends")]:
        assert "took longer than 0.5 s" in late[name]["error"] and f"waits for Queue '{queue}'" in late[name]["error"]


def test_threads_of_earlier_tests_are_named(late):
    assert "thread 'holder' is there since test_it.py::test_held" in late["test_elsewhere"]["failure"]


def test_what_is_told_of_deadlocks_is_told_with_the_test_that_it_belongs_to(late):
    for name, words in [
        ("test_a_threads_deadlock", "DeadlockError in thread 'takes-it-twice'"),
        ("test_warned_and_late", "\ndeadlock: these wait for each other"),
    ]:
        captured = late[name]["report"].partition("Captured oneloom call")[2]
        assert words in captured, late[name]
    assert "Captured oneloom" not in late["test_held"]["report"]


NESTED = """
    import oneloom
    import pytest

    pytest_plugins = ["pytester"]

    @pytest.mark.oneloom(cycles="warn", timeout=0.5)
    def test_outer(pytester):
        pytester.makepyfile("def test_inner(): pass")
        pytester.runpytest_inprocess("-poneloom", "--oneloom-timeout=20").assert_outcomes(passed=1)
        lock = oneloom.Lock()
        with lock:
            lock.acquire()
"""


def test_a_run_inside_a_test_leaves_the_outer_run_its_reports(run):
    done = run("--oneloom", test_it=NESTED).check(1)
    assert "\ndeadlock: these wait for each other" in done.out.partition("Captured oneloom call")[2], done


def test_a_marker_that_can_not_be_understood_fails_its_test(late):
    assert "timeout: a time-out is a number of seconds, not 'soon'" in late["test_marker_without_seconds"]["error"]
    assert "cycles must be 'raise', 'warn' or 'off'" in late["test_marker_with_unknown_policy"]["error"]
    assert "takes timeout=, cycles= and tasks=" in late["test_marker_with_a_bare_number"]["error"]


# --- who can't be interrupted -----------------------------------------------------------------------------------------

STUCK = """
    import contextlib
    import queue
    import signal

    import pytest

    pytestmark = pytest.mark.oneloom(cycles="off")

    def test_where_no_signal_comes_through():
        print("what it printed")
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        queue.Queue(name="unreachable").get()

    def test_that_catches_everything():
        while True:
            with contextlib.suppress(BaseException):
                queue.Queue(name="stubborn").get()

    def test_after():
        pass
"""


def test_who_catches_everything_ends_with_the_process(run):
    done = run("--oneloom", "--oneloom-timeout=0.2", "-kcatches", test_it=STUCK).check(1)
    assert "Queue 'stubborn'" in done.err and "interrupted 2 times" in done.err, done


# --- with other plugins -----------------------------------------------------------------------------------------------

DISTRIBUTED = """
    import os
    import queue
    import threading

    import pytest

    @pytest.mark.parametrize("number", range(6))
    def test_in_place(number):
        assert threading.Lock.__module__ == "oneloom.threading" and "PYTEST_XDIST_WORKER" in os.environ

    @pytest.mark.oneloom(timeout=0.3)
    def test_late():
        queue.Queue(name="remote").get()

    @pytest.mark.oneloom(cycles="off")
    def test_policy():
        import oneloom
        assert "cycles='off'" in repr(oneloom.deadlock.policy())
"""


def test_under_xdist_every_worker_does_the_same_and_survives(run):
    done = run("--oneloom", "-n2", plugins=["xdist"], test_it=DISTRIBUTED).check(1)
    assert counts(done) == {"passed": 7, "failed": 1}, done
    assert "took longer than 0.3 s: test_it.py::test_late" in done.out and "waits for Queue 'remote'" in done.out, done
    assert "crashed" not in done.out and "node down" not in done.out, done


def test_where_no_signal_comes_through_the_process_ends_and_says_so_under_xdist_too(run):
    done = run("--oneloom", "--oneloom-timeout=0.2", "-n1", "-kno_signal or after", plugins=["xdist"], test_it=STUCK)
    assert counts(done.check(1)) == {"passed": 1, "failed": 1}, done
    for words in ["test_where_no_signal_comes_through", "Queue 'unreachable'", "can't be interrupted", "what it printed"]:
        assert words in done.err, done


OTHER_TIMEOUTS = """
    import queue
    import time

    import pytest

    def test_of_the_option():
        queue.Queue(name="optional").get()

    @pytest.mark.oneloom(timeout=0.2)
    def test_of_both():
        queue.Queue(name="both").get()

    @pytest.fixture
    def late_to_end():
        yield
        queue.Queue(name="ends").get()

    @pytest.mark.timeout(0.2, func_only=True)
    @pytest.mark.oneloom(timeout=0.6)
    def test_of_the_call_alone(late_to_end):
        queue.Queue(name="calls").get()

    @pytest.mark.timeout(0)
    def test_unlimited():
        time.sleep(0.5)

    def test_in_time():
        pass
"""


def test_pytest_timeouts_limits_tell_the_same(run):
    done = run("--oneloom", "--timeout=0.4", "-rfE", plugins=["timeout"], test_it=OTHER_TIMEOUTS).check(1)
    assert counts(done) == {"failed": 3, "passed": 2, "error": 1}, done
    for words in [
        "Timeout (>0.4s) from pytest-timeout: test_it.py::test_of_the_option", "waits for Queue 'optional'",
        "took longer than 0.2 s: test_it.py::test_of_both", "waits for Queue 'both'",
        "Timeout (>0.2s) from pytest-timeout: test_it.py::test_of_the_call_alone", "waits for Queue 'calls'",
        "took longer than 0.6 s: test_it.py::test_of_the_call_alone", "waits for Queue 'ends'",
    ]:
        assert words in done.out, (words, str(done))


def test_pytest_timeouts_thread_method_ends_the_process_and_tells_the_same(run):
    options = ["--oneloom", "--timeout=0.3", "--timeout-method=thread", "-koption"]
    done = run(*options, plugins=["timeout"], test_it=OTHER_TIMEOUTS).check(1)
    assert "Timeout (>0.3s) from pytest-timeout" in done.err and "Queue 'optional'" in done.err, done
    assert counts(done) == {}, done


DEBUGGED = """
    import queue

    import pytest

    def test_in_time_but_for_the_debugger():
        pytest.set_trace()
        done = True

    def test_late_after_the_debugger():
        pytest.set_trace()
        queue.Queue().get()
"""
DEBUGGER = """
    import pdb
    import time

    class Patient(pdb.Pdb):
        "In the place of somebody at the prompt, who thinks for a while and goes on."
        def interaction(self, *where):
            time.sleep(1)
            self.do_continue("")
"""


def test_time_in_the_debugger_does_not_count(run):
    options = ["--oneloom", "--oneloom-timeout=0.3", "--pdbcls=patient:Patient"]
    done = run(*options, test_it=DEBUGGED, patient=DEBUGGER).check(1)
    assert counts(done) == {"passed": 1, "failed": 1}, done
    assert "took longer than 0.3 s: test_it.py::test_late_after_the_debugger" in done.out, done


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_pages_example_tells_what_the_page_shows(run):
    page = (ROOT / "docs" / "pytest.md").read_text()
    source = re.search(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[1]
    shown = re.search(r"^```text\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[1]
    # Well before the second after which the deadlock is reported as suspected: no test is to be interrupted over that.
    done = run("--oneloom", "--oneloom-timeout=0.5", "-q", test_transfer=source).check(1)
    for line in shown.splitlines():  # One by one: who of the two waits longer, and comes first, differs.
        pattern = ".*".join(re.escape(part) for part in line.split("..."))
        assert re.search(pattern, done.out), f"the page shows\n{line}\nbut it was\n{done}"
