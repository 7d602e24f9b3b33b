"""Makes the page of the kill matrix: `kill_matrix.py NOTES`, for `make kill-matrix`.

NOTES has a line for each process that a test has killed: when, a tab, and what others saw. The page has a row for each
step of `crates/oneloom-shm/src/step.rs`, in that order, and for whatever else was noted. It fails, and writes nothing,
when somewhere fewer than a hundred were killed.
"""

import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "kill-matrix.md"
ENOUGH = 100

BEFORE = """\
# Who is killed where, and what others see

Every step of every protocol in shared memory is a point at which the tests kill a process with `SIGKILL`, while others
work on the same objects. Nobody may hang, nothing may be torn, delivered twice, or lost but for what a receiver was taking,
and all memory must come back; a test in which that does not hold fails, and this page can't be made. `make kill-matrix`
makes it anew.

| killed after | times | what the others saw, and how often |
|---|---|---|
"""


def main(notes: Path) -> int:
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for line in notes.read_text().splitlines():
        when, saw = line.split("\t")
        seen[when][saw] += 1
    listed = re.search(r"^steps! \{(.*?)^\}", (ROOT / "crates/oneloom-shm/src/step.rs").read_text(), re.M | re.S)
    assert listed, "step.rs has no list of steps"
    steps = re.findall(r"\w+", re.sub(r"//.*", "", listed[1]))
    rows = [*steps, *(when for when in seen if when not in steps)]
    few = [f"{when} ({seen[when].total()})" for when in rows if seen[when].total() < ENOUGH]
    if few:
        print(f"fewer than {ENOUGH} were killed at: {', '.join(few)}", file=sys.stderr)
        return 1
    PAGE.write_text(BEFORE + "".join(row(when, seen[when], when in steps) for when in rows))
    print(f"{PAGE.relative_to(ROOT)}: {len(rows)} rows, {sum(all.total() for all in seen.values())} killed")
    return 0


def row(when: str, saw: Counter[str], is_step: bool) -> str:
    told = "; ".join(f"{what}: {count}" for what, count in saw.most_common())
    return f"| {f'`{when}`' if is_step else when} | {saw.total()} | {told} |\n"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
