"""What to do about deadlocks, by call and by environment; and the dump of who holds and who waits."""

import asyncio
import io
import signal
import textwrap
import threading
import time

import pytest

import oneloom
from conftest import finish, program, start_thread, wait_until
from deadlock_programs import PREAMBLE, case, ended, reports, results  # noqa: F401

# --- the policy -------------------------------------------------------------------------------------------------------

TWICE = """
lock = oneloom.Lock(name="twice")
def twice():
    with lock:
        with lock: pass
say("begun")
catch(twice)
"""
POLICY = {
    "off by environment": case("off by environment", TWICE, env={"ONELOOM_DEADLOCK": "off"}, timeout=4, hangs=True),
    "warn by environment": case("warn by environment", TWICE, env={"ONELOOM_DEADLOCK": "warn"}, timeout=4, hangs=True),
    "raise by environment": case("raise by environment", TWICE, env={"ONELOOM_DEADLOCK": "raise"}),
    "off by call": case("off by call", "oneloom.deadlock.policy(cycles='off')" + TWICE, timeout=4, hangs=True),
    "warn by call": case("warn by call", "oneloom.deadlock.policy(cycles='warn')" + TWICE, timeout=4, hangs=True),
    "call over environment": case(
        "call over environment", "oneloom.deadlock.policy(cycles='raise')" + TWICE, env={"ONELOOM_DEADLOCK": "off"}
    ),
    "back after a block": case(
        "back after a block", "with oneloom.deadlock.policy(cycles='off', tasks='off'): pass\n" + TWICE
    ),
    "off when quiet": case("off when quiet", "say('begun'); oneloom.Queue().get()", env={"ONELOOM_DEADLOCK": "off"},
                           timeout=4, hangs=True),  # fmt: skip
    "warn when quiet": case("warn when quiet", "say('begun'); oneloom.Queue().get()", env={"ONELOOM_DEADLOCK": "warn"},
                            timeout=6, hangs=True),  # fmt: skip
}


@pytest.mark.parametrize("name", [POLICY["off by environment"], POLICY["off by call"], POLICY["off when quiet"]])
def test_off_is_silent(results, name):
    result = ended(results, name)
    assert result.timed_out and result.out == "begun\n" and reports(result) == 0, result


@pytest.mark.parametrize("name", [POLICY["warn by environment"], POLICY["warn by call"], POLICY["warn when quiet"]])
def test_warn_reports_once_and_goes_on_waiting(results, name):
    result = ended(results, name)
    assert result.timed_out and result.out == "begun\n" and reports(result) == 1, result
    assert "MainThread" in result.err, result


@pytest.mark.parametrize("name", [POLICY["raise by environment"], POLICY["call over environment"], POLICY["back after a block"]])
def test_raise_raises(results, name):
    assert "MainThread DeadlockError" in ended(results, name).out


@pytest.mark.parametrize("arguments", [{"cycles": "sometimes"}, {"tasks": "sometimes"}, {"cycles": "RAISE!"}])
def test_an_unknown_policy_is_a_value_error(arguments):
    with pytest.raises(ValueError):
        oneloom.deadlock.policy(**arguments)


def test_a_policy_of_another_type_is_a_type_error():
    with pytest.raises(TypeError):
        oneloom.deadlock.policy(cycles=3)
    with pytest.raises(TypeError):
        oneloom.deadlock.policy(colour="red")


def test_an_unknown_policy_in_the_environment_is_told():
    with program("import oneloom; print('imported')", env={"ONELOOM_DEADLOCK": "sometimes"}) as child:
        result = finish(child)
    assert "ONELOOM_DEADLOCK" in result.err and not result.timed_out, result


def test_the_policy_is_restored_after_a_block_that_raises():
    lock = oneloom.Lock()
    with pytest.raises(ZeroDivisionError):
        with oneloom.deadlock.policy(cycles="warn", tasks="raise"):
            1 // 0
    with lock, pytest.raises(oneloom.DeadlockError):
        lock.acquire()


def test_blocks_of_policies_nest():
    lock = oneloom.Lock()
    with oneloom.deadlock.policy(cycles="off"):
        with oneloom.deadlock.policy(cycles="raise"):
            with lock, pytest.raises(oneloom.DeadlockError):
                lock.acquire()
    with lock, pytest.raises(oneloom.DeadlockError):
        lock.acquire()


# --- the dump ---------------------------------------------------------------------------------------------------------


def test_the_dump_tells_who_holds_and_who_waits():
    jobs, items = oneloom.Lock(name="jobs"), oneloom.Queue(name="items")
    waiters = [
        threading.Thread(target=lambda: jobs.__enter__() and jobs.release(), name="wants-the-lock", daemon=True),
        threading.Thread(target=items.get, name="wants-an-item", daemon=True),
    ]
    with jobs:
        for waiter in waiters:
            waiter.start()
        wait_until(lambda: jobs.statistics().waiting == 1 and items.statistics().waiting_getters == 1)
        out = io.StringIO()
        oneloom.dump(file=out)
    items.put(1)
    for word in ("jobs", "items", "wants-the-lock", "wants-an-item", threading.current_thread().name):
        assert word in out.getvalue(), out.getvalue()
    assert "test_deadlock_policy.py" in out.getvalue()
    for waiter in waiters:
        waiter.join(20)


def test_the_dump_of_a_process_in_which_nobody_waits_says_so(capsys):
    oneloom.dump()
    assert capsys.readouterr().err.strip()


def test_the_dump_names_tasks():
    async def main():
        lock = oneloom.Lock(name="shared")
        async with lock:
            task = asyncio.create_task(lock.acquire_async(), name="patient")
            await asyncio.sleep(0.01)
            out = io.StringIO()
            oneloom.dump(file=out)
            task.cancel()
        return out.getvalue()

    text = oneloom.run(main())
    assert "patient" in text and "shared" in text


def test_the_dump_answers_a_signal_while_the_main_thread_is_blocked():
    code = PREAMBLE + textwrap.dedent(
        """
        lock = oneloom.Lock(name="blocked-on")
        oneloom.dump_on_signal(signal.SIGUSR2)
        def hold():
            with lock:
                say("ready")
                time.sleep(60)
        threading.Thread(target=hold, daemon=True, name="holder").start()
        until(lock.locked)
        lock.acquire()
        """
    )
    with program(code) as child:
        assert child.stdout.readline() == "ready\n"
        text = []
        reader = start_thread(lambda: text.extend(iter(child.stderr.readline, "")))
        for _ in range(2):
            seen = len(text)
            time.sleep(0.1)
            child.send_signal(signal.SIGUSR2)
            wait_until(lambda: any("holder" in line for line in text[seen:]), message="no dump came")
        assert child.poll() is None
        child.kill()
        reader.join(20)
    joined = "".join(text)
    assert "blocked-on" in joined and "MainThread" in joined, joined


def test_the_dump_answers_a_signal_while_the_main_thread_computes():
    code = PREAMBLE + "oneloom.dump_on_signal(signal.SIGUSR2)\nsay('ready')\nwhile True: pass\n"
    with program(code) as child:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGUSR2)
        assert child.stderr.readline()
        child.kill()
