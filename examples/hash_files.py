"""Hash every file of Python's own standard library and count its words: one task a file, on each kind of pool.

    python examples/hash_files.py [--files 100]

The standard library's executors and oneloom's pools have one interface, so the same two functions use them all:
`submitted` has a future for each file, `mapped` leaves that to `map`. `plain_loop` uses no pool; its answer is the
reference. `with_a_death` is what becomes of the other files when one task kills its worker.
"""

import argparse
import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import oneloom
import word_count

WORKERS = 2

Answer = tuple[str, int]  # a file's SHA-256, and how many words it has
Advance = Callable[[], None]  # called for each file that is done


def examine(path: str) -> Answer:
    with open(path, "rb") as file:
        content = file.read()
    return hashlib.sha256(content).hexdigest(), len(word_count.find_words(content.decode("utf-8", "replace")))


def examine_unless(fatal: bool, path: str) -> Answer:
    if fatal:
        os.kill(os.getpid(), signal.SIGKILL)
    return examine(path)


def corpus(most: int | None = None) -> list[str]:
    return [str(path) for path in word_count.Corpus(whole_files=True, most=most).paths]


def plain_loop(paths: list[str], advance: Advance) -> list[Answer]:
    answers = []
    for path in paths:
        answers.append(examine(path))
        advance()
    return answers


def submitted(pool: Executor, paths: list[str], advance: Advance) -> list[Answer]:
    return counted((future.result() for future in [pool.submit(examine, path) for path in paths]), advance)


def mapped(pool: Executor, paths: list[str], advance: Advance) -> list[Answer]:
    return counted(pool.map(examine, paths), advance)


def counted(answers: Iterable[Answer], advance: Advance) -> list[Answer]:
    seen = []
    for answer in answers:
        seen.append(answer)
        advance()
    return seen


POOLS: dict[str, Callable[[], Executor]] = {
    "ThreadPoolExecutor": lambda: ThreadPoolExecutor(WORKERS),
    "oneloom.ThreadPool": lambda: oneloom.ThreadPool(WORKERS),
    "ProcessPoolExecutor": lambda: ProcessPoolExecutor(WORKERS),
    "oneloom.ProcessPool": lambda: oneloom.ProcessPool(WORKERS),
}
WAYS = {"submit": submitted, "map": mapped}


def with_a_death(pool: Executor, paths: list[str]) -> tuple[list[Answer], dict[str, list[str]]]:
    """The task in the middle kills its worker: the answers that came all the same, and the errors by their kinds."""
    futures: list[Future[Answer]] = []
    answers = []
    errors: dict[str, list[str]] = {}
    for number, path in enumerate(paths):
        try:
            futures.append(pool.submit(examine_unless, number == len(paths) // 2, path))
        except RuntimeError as error:  # a broken pool takes no more
            errors.setdefault(type(error).__name__, []).append(str(error))
    for future in futures:
        try:
            answers.append(future.result())
        except RuntimeError as error:
            errors.setdefault(type(error).__name__, []).append(str(error))
    return answers, errors


def main() -> None:
    parser = argparse.ArgumentParser(description="Hash the standard library's files on each kind of pool.")
    parser.add_argument("--files", type=int, help="how many of them (default: all)")
    paths = corpus(parser.parse_args().files)
    start = time.perf_counter()
    reference = plain_loop(paths, lambda: None)
    print(f"{'plain loop':20} {'':6} {time.perf_counter() - start:6.2f} s")
    for name, make_pool in POOLS.items():
        for way, use in WAYS.items():
            start = time.perf_counter()
            with make_pool() as pool:
                answers = use(pool, paths, lambda: None)
            print(f"{name:20} {way:6} {time.perf_counter() - start:6.2f} s")
            assert answers == reference, f"{name}, {way}, gave other answers than the plain loop"
    print(f"{len(paths)} files with {sum(words for _, words in reference):,} words, equal every time")
    for name in ("ProcessPoolExecutor", "oneloom.ProcessPool"):
        with POOLS[name]() as pool:
            answers, errors = with_a_death(pool, paths)
        failures = ", ".join(f"{len(texts)} {kind}" for kind, texts in errors.items())
        print(f"{name}, where one task kills its worker: {len(answers)} answers, {failures}")


if __name__ == "__main__":
    main()
