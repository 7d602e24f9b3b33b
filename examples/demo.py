"""oneloom's main job on one page: a word count, pools, an unedited program made faster, and a deadlock that answers.

    python examples/demo.py [--rounds 3] [--patience 5]

Ends with status 1 where two results differ, or where the deadlocking program does not behave as told.
"""

import argparse
import asyncio
import importlib.metadata
import inspect
import os
import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import _page as page
import hash_files
import word_count

PROGRAMS = {"python": [sys.executable], "python -m oneloom": [sys.executable, "-m", "oneloom"]}
FOLDER = Path(__file__).resolve().parent.parent
SURROUNDINGS: Any = {
    "cwd": FOLDER,
    # The user's own deadlock policy would make another program of each.
    "env": {name: value for name, value in os.environ.items() if name != "ONELOOM_DEADLOCK"} | {"NO_COLOR": "1"},
}
LONGEST_ANSWER = 30.0  # seconds; the report of a suspected deadlock takes a few


class Difference(Exception):
    """A result that is not what this page says it is."""


def check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Difference(otherwise)


def word_count_in_a_pipeline(rounds: int, most: int | None) -> None:
    page.heading("1  Threads and coroutines share one queue")
    corpora = [word_count.Corpus(whole_files=whole, most=most) for whole in (False, True)]
    pieces = [sum(1 for _ in corpus) for corpus in corpora]
    page.paragraph(
        f"A coroutine reads the source of Python's own standard library ({pieces[1]:,} files, {pieces[0]:,} lines), "
        f"{word_count.THREADS} threads find the words, a coroutine counts them. The plain loop is the work itself: "
        f"what the others take longer is the price of handing over. Seconds, median of {page.plural(rounds, 'round')}:"
    )

    pipelines = word_count.PIPELINES
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in pipelines}
    answers: list[Counter[str]] = []
    for number in range(1, rounds + 1):
        for column, unit in enumerate(("line by line", "file by file")):
            for name, pipeline in pipelines.items():
                label = f"round {number} of {rounds}, {unit}: {name}"
                with page.Progress(label, pieces[column]) as progress:
                    start = time.perf_counter()
                    answer = asyncio.run(pipeline(corpora[column], progress.advance))
                    times[name][column].append(time.perf_counter() - start)
                # Lines or files: a word never spans two lines, so the answers are the same ones.
                check(not answers or answer == answers[0], f"{name}, {unit}, counted other words than the plain loop")
                answers = answers or [answer]
        if not page.is_terminal(sys.stderr):
            print(f"round {number} of {rounds} done", file=sys.stderr, flush=True)

    page.line()
    page.line(f"{'':27}{'line by line':>14}{'file by file':>14}{'code':>15}", "faint")
    for name, pipeline in pipelines.items():
        columns = "".join(f"{median(samples):14.2f}" for samples in times[name])
        text = f"{name:27}{columns}{lines_of_code(pipeline):9} lines"
        page.line(text, "strong" if name == "oneloom" else None)
    page.line()
    queues, by_hand, oneloom = (median(times[name][0]) for name in list(pipelines)[1:])
    page.paragraph(
        f"Line by line, oneloom {compared(oneloom, queues)} the standard library's queues (SimpleQueue one way, "
        "call_soon_threadsafe into an asyncio.Queue back), and it "
        f"{compared(oneloom, by_hand)} a hand-over made for this one pipeline. "
        "File by file there is little to hand over."
    )
    common = ", ".join(f"{word} {times:,}" for word, times in answers[0].most_common(4))
    page.line(f"Equal results in every run: {answers[0].total():,} words, mostly {common}.", "good")


def files_on_pools(rounds: int, most: int | None) -> None:
    page.heading("2  One interface for pools of threads and of processes")
    paths = hash_files.corpus(most)
    page.paragraph(
        f"Hash each of the same {len(paths):,} files and count its words: one task a file, {hash_files.WORKERS} "
        f"workers. Seconds, the pool's start and end included, median of {page.plural(rounds, 'round')}:"
    )
    start = time.perf_counter()
    reference = hash_files.plain_loop(paths, lambda: None)
    plain = time.perf_counter() - start
    times: dict[str, dict[str, list[float]]] = {name: {way: [] for way in hash_files.WAYS} for name in hash_files.POOLS}
    for number in range(1, rounds + 1):
        for name, way, use in ((name, way, use) for way, use in hash_files.WAYS.items() for name in hash_files.POOLS):
            with page.Progress(f"round {number} of {rounds}, {way}: {name}", len(paths)) as progress:
                start = time.perf_counter()
                with hash_files.POOLS[name]() as pool:
                    answers = use(pool, paths, progress.advance)
                times[name][way].append(time.perf_counter() - start)
            check(answers == reference, f"{name}, {way}, gave other answers than the plain loop")

    page.line()
    page.line(f"{'':27}" + "".join(f"{way:>14}" for way in hash_files.WAYS), "faint")
    page.line(f"{'plain loop, no pool':27}{plain:14.2f}{plain:14.2f}")
    for name, samples in times.items():
        columns = "".join(f"{median(samples[way]):14.2f}" for way in hash_files.WAYS)
        page.line(f"{name:27}{columns}", "strong" if name.startswith("oneloom") else None)
    page.line()
    ours, theirs = (median(times[name]["submit"]) for name in ("oneloom.ProcessPool", "ProcessPoolExecutor"))
    page.paragraph(
        "Threads take turns at the interpreter, so they gain little on work that is mostly Python's; processes use every "
        f"core. A task for each file, oneloom.ProcessPool {compared(ours, theirs)} the standard library's."
    )
    page.line(f"Equal answers in every run: {sum(words for _, words in reference):,} words.", "good")
    page.line()
    page.line("The same once more, but the task in the middle kills the process that runs it:")
    for name in ("ProcessPoolExecutor", "oneloom.ProcessPool"):
        with hash_files.POOLS[name]() as pool:
            answers, errors = hash_files.with_a_death(pool, paths)
        failures = ", ".join(f"{len(texts)} {kind}" for kind, texts in errors.items())
        page.line(f"{name:27}{len(answers):6} answers, {failures}", "bad" if len(answers) < len(paths) - 1 else "good")
    without_one = [answer for number, answer in enumerate(reference) if number != len(paths) // 2]
    check(answers == without_one, "not all answers of the other tasks are there")
    page.quotation(without_paths(chain.from_iterable(errors.values())))


def compared(ours: float, theirs: float) -> str:
    if 0.95 < ours / theirs < 1.05:
        return "is as fast as"
    if ours <= theirs:
        return f"is {theirs / ours:.1f} times as fast as"
    return f"takes {ours / theirs:.1f} times as long as"


def lines_of_code(function: Callable[..., object]) -> int:
    lines = (line.strip() for line in inspect.getsource(function).splitlines())
    return sum(1 for line in lines if line and not line.startswith("#"))


@dataclass
class Run:
    status: int
    seconds: float
    output: str
    errors: str


def run(launcher: list[str], program: str, deadline: float) -> Run:
    start = time.perf_counter()
    try:
        done = subprocess.run(
            [*launcher, f"examples/{program}"], capture_output=True, text=True, timeout=deadline, **SURROUNDINGS
        )
    except subprocess.TimeoutExpired as expired:
        raise Difference(f"{program} did not end within {deadline:.0f} s; it said {expired.stderr!r}") from None
    return Run(done.returncode, time.perf_counter() - start, done.stdout, done.stderr)


def unedited_program(rounds: int) -> None:
    page.heading("3  An ordinary program, not edited: python -m oneloom")
    page.paragraph(
        "examples/producer_consumer.py knows only threading and queue: four producers, four consumers, one bounded "
        f"queue. The whole process is timed, its start included; median of {page.plural(rounds, 'round')}:"
    )
    runs: dict[str, list[Run]] = {name: [] for name in PROGRAMS}
    with page.Progress("examples/producer_consumer.py", rounds * len(PROGRAMS)) as progress:
        for _ in range(rounds):
            for name, launcher in PROGRAMS.items():
                runs[name].append(run(launcher, "producer_consumer.py", deadline=60))
                progress.advance()
    page.line()
    for name, finished in runs.items():
        check(all(one.status == 0 and not one.errors for one in finished), f"{name}: {finished[-1].errors}")
        page.line(f"{name:20}{median(one.seconds for one in finished):6.2f} s   {finished[0].output.strip()}")
    page.line()
    check(len({one.output for finished in runs.values() for one in finished}) == 1, "the outputs differ")
    plain, ours = (median(one.seconds for one in finished) for finished in runs.values())
    page.line(f"The same output; under oneloom it {compared(ours, plain)} under plain python.", "good")


def two_locks(patience: float) -> None:
    page.heading("4  A deadlock answers")
    page.line("Two threads of examples/two_locks.py take two threading.Locks in opposite order.")
    page.line()
    page.line("$ python examples/two_locks.py", "strong")
    output, state = watch_it_hang(patience)
    page.quotation(output.splitlines())
    page.line(f"It hangs: after {patience:.0f} s {state}. Killed by this demo.", "bad")

    page.line()
    page.line("$ python -m oneloom examples/two_locks.py", "strong")
    with page.Progress("waiting for the answer"):
        answered = run(PROGRAMS["python -m oneloom"], "two_locks.py", LONGEST_ANSWER)
    first, *rest = answered.output.splitlines() or [""]
    page.quotation(without_paths(chain([first], without_stacks(answered.errors.splitlines()), rest)))
    check("DeadlockError" in answered.errors, "no DeadlockError was raised under oneloom")
    check(answered.status == 0 and "both are done" in answered.output, "the program did not end as it should")
    page.line(f"It was told why, and ended by itself after {answered.seconds:.1f} s.", "good")

    page.line()
    page.line("$ python examples/deadlock_report.py    # the same with oneloom.Lock", "strong")
    told = run(PROGRAMS["python"], "deadlock_report.py", LONGEST_ANSWER)
    page.quotation(without_paths(text for text in told.output.splitlines() if text))
    check(told.status == 0 and "was told after" in told.output, f"no DeadlockError from oneloom.Lock: {told.errors}")
    page.line("What `with` took nobody else can release: the deadlock is certain, so the answer is immediate.", "good")


def without_paths(lines: Iterable[str]) -> Iterator[str]:
    return (line.replace(f"{FOLDER}{os.sep}", "") for line in lines)


def without_stacks(lines: Iterable[str]) -> Iterator[str]:
    """A traceback's frames are the lines between its first one and the error: three dots stand for them."""
    in_stack = False
    for line in lines:
        if in_stack and not line.startswith("  "):
            yield "  ..."
            in_stack = False
        if not in_stack:
            yield line
        in_stack = in_stack or line.startswith("Traceback (most recent call last):")


def watch_it_hang(patience: float) -> tuple[str, str]:
    """Run the two-lock program under plain Python for `patience` seconds, then kill it: what it printed and did."""
    command = [*PROGRAMS["python"], "examples/two_locks.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **SURROUNDINGS) as process:
        try:
            with page.Progress("is it going to end?", 100) as progress:
                for _ in range(100):
                    try:
                        process.wait(patience / 100)
                    except subprocess.TimeoutExpired:
                        progress.advance()
                    else:
                        raise Difference("the two-lock program ended under plain python")
            state = state_of_threads(process.pid)
        finally:
            process.kill()
        assert process.stdout is not None
        return process.stdout.read(), state


def state_of_threads(pid: int) -> str:
    threads = [(task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    # The name of a thread stands in brackets and may hold spaces; its state comes next.
    states = [text.rpartition(")")[2].split()[0] for text in threads]
    asleep = states.count("S")
    check(asleep == len(states), f"{asleep} of {len(states)} threads are asleep: the program still does something")
    return f"its {len(states)} threads are all asleep"


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def main() -> int:
    parser = argparse.ArgumentParser(description="oneloom's main job on one page; takes less than a minute.")
    parser.add_argument("--rounds", type=positive, default=3, help="how often to measure each thing (default: 3)")
    parser.add_argument("--files", type=positive, help="how many of the library's files to read at most (default: all)")
    parser.add_argument(
        "--patience", type=positive, default=5, metavar="SECONDS",
        help="how long the watchdog waits for the program that hangs (default: 5)",
    )
    options = parser.parse_args()
    print(page.styled(f"oneloom {importlib.metadata.version('oneloom')}", "strong"), end="")
    print(f" on Python {platform.python_version()}, {page.plural(os.cpu_count() or 1, 'core')}")
    try:
        word_count_in_a_pipeline(options.rounds, options.files)
        files_on_pools(options.rounds, options.files)
        unedited_program(options.rounds)
        two_locks(options.patience)
    except Difference as difference:
        page.line(f"This is not as it should be: {difference}", "bad")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
