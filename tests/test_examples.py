"""The Python examples, each run as its reader runs it: what it must print, and how it must end."""

import re
import sys
from pathlib import Path

import pytest

from conftest import finish, program

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
WITHOUT_ONELOOM = ["two_locks.py", "producer_consumer.py"]
DEMO_DEADLINE = 100.0


def run_example(name, *arguments, launcher=(), timeout=30.0, env=None):
    command = [sys.executable, *launcher, str(EXAMPLES / name), *arguments]
    with program(None, command=command, env=env) as child:
        return finish(child, timeout)


def test_threads_and_coroutines_exchange_questions_and_answers():
    done = run_example("threads_and_coroutines.py").check()
    assert done.out.splitlines() == [f"{number} * {number} = {number * number}" for number in range(1, 6)]
    assert done.err == ""


def test_await_thread_gives_values_and_exceptions():
    done = run_example("await_thread.py").check()
    assert len(re.findall(r"^checksum [0-9a-f]{8}$", done.out, re.MULTILINE)) == 3
    assert done.out.endswith("the thread failed: invalid literal for int() with base 10: 'seven'\n")
    assert done.err == ""


def test_await_process_gives_values_exceptions_and_deaths():
    done = run_example("await_process.py").check()
    factors, failure, death, end = done.out.splitlines()
    assert factors == "6857 999999000001"
    assert failure == "the process failed: invalid literal for int() with base 10: 'seven'"
    assert re.match(r"process 'native code' \(pid \d+\) was killed by SIGABRT \(", death)
    assert end == "ended with -9"
    assert done.err.endswith("ValueError: invalid literal for int() with base 10: 'seven'\n")


def test_deadlock_report_tells_one_thread_and_lets_the_other_go_on():
    done = run_example("deadlock_report.py").check()
    victim, milliseconds = re.search(r"^(Ada|Bob) was told after ([0-9.]+) ms:$", done.out, re.MULTILINE).groups()
    survivor = {"Ada": "Bob", "Bob": "Ada"}[victim]
    assert f"{survivor} moved money" in done.out
    assert f"{victim} moved money" not in done.out
    for participant in ("Ada", "Bob", "savings", "current"):
        assert participant in done.out.split("ms:")[1]
    assert float(milliseconds) < 1000, "a certain deadlock is told at once, not after the second of a suspicion"


@pytest.mark.parametrize("arguments", [(), ("--files",)], ids=["lines", "files"])
def test_word_count_gives_equal_answers_four_times(arguments):
    done = run_example("word_count.py", *arguments).check()
    assert "words, equal four times" in done.out
    assert done.err == ""


def test_hash_files_gives_equal_answers_on_every_pool_and_one_crash_costs_one_file():
    done = run_example("hash_files.py", "--files", "60").check()
    assert re.findall(r"^(\S+) +(submit|map) +\d+\.\d\d s$", done.out, re.MULTILINE) == [
        (pool, way)
        for pool in ("ThreadPoolExecutor", "oneloom.ThreadPool", "ProcessPoolExecutor", "oneloom.ProcessPool")
        for way in ("submit", "map")
    ]
    assert re.search(r"^60 files with [\d,]+ words, equal every time$", done.out, re.MULTILINE)
    assert "oneloom.ProcessPool, where one task kills its worker: 59 answers, 1 WorkerDied" in done.out
    assert done.err == ""


def test_producer_consumer_prints_the_same_under_oneloom():
    plain = run_example("producer_consumer.py", "5000").check()
    under_oneloom = run_example("producer_consumer.py", "5000", launcher=["-m", "oneloom"]).check()
    assert plain.out == f"20000 orders, worth {sum(range(20_000))}\n"
    assert (under_oneloom.out, under_oneloom.err) == (plain.out, plain.err)


def test_two_locks_ends_with_a_report_under_oneloom():
    done = run_example("two_locks.py", launcher=["-m", "oneloom"]).check()
    assert done.out.startswith("Ada and Bob move money")
    assert done.out.endswith("both are done\n")
    assert "DeadlockWarning" in done.err
    assert "DeadlockError" in done.err
    assert "Ada" in done.err and "Bob" in done.err


@pytest.mark.parametrize("name", WITHOUT_ONELOOM)
def test_the_unedited_programs_do_not_import_oneloom(name):
    assert not re.search(r"^\s*(import|from) oneloom", (EXAMPLES / name).read_text(), re.MULTILINE)


@pytest.mark.deadline(150)
def test_demo_shows_its_four_parts_on_one_page():
    done = run_example("demo.py", "--rounds", "1", "--files", "300", "--patience", "2", timeout=DEMO_DEADLINE).check()
    assert re.findall(r"^[1-9]  ", done.out, re.MULTILINE) == ["1  ", "2  ", "3  ", "4  "]
    assert "Equal results in every run" in done.out
    assert "Equal answers in every run" in done.out
    files = int(re.search(r"([\d,]+) files", done.out)[1].replace(",", ""))
    assert re.search(rf"oneloom.ProcessPool +{files - 1} answers, 1 WorkerDied", done.out)
    assert "The same output" in done.out
    assert "It hangs: after 2 s its 3 threads are all asleep" in done.out
    assert "It was told why, and ended by itself" in done.out
    assert "was told after" in done.out
    lines = done.out.splitlines()
    assert len(lines) <= 95
    assert max(map(len, lines)) <= 120
    assert "\x1b" not in done.out + done.err, "colours and the bar are for terminals"


def test_demo_explains_its_options_and_refuses_none_of_a_round():
    assert "--rounds" in run_example("demo.py", "--help").check().out
    assert "must be 1 or more" in run_example("demo.py", "--rounds", "0").check(status=2).err


def test_demo_fails_when_results_differ(tmp_path):
    # A pipeline that loses a line stands in for a broken queue.
    spoiled = tmp_path / "spoiled.py"
    spoiled.write_text(
        "import runpy, sys\n"
        f"sys.path.insert(0, {str(EXAMPLES)!r})\n"
        "import word_count\n"
        "honest = word_count.with_oneloom\n"
        "async def lossy(corpus, advance):\n"
        "    answer = await honest(corpus, advance)\n"
        "    answer['self'] -= 1\n"
        "    return answer\n"
        "word_count.PIPELINES['oneloom'] = lossy\n"
        "sys.argv = ['demo.py', '--rounds', '1', '--files', '20']\n"
        f"runpy.run_path({str(EXAMPLES / 'demo.py')!r}, run_name='__main__')\n"
    )
    with program(None, command=[sys.executable, str(spoiled)]) as child:
        done = finish(child, DEMO_DEADLINE).check(status=1)
    assert "This is not as it should be: oneloom, line by line, counted other words" in done.out
