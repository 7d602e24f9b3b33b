"""The bench: it runs, its table says what the samples say, and a row below its goal does not pass in silence."""

import json
import re
import sys
import time
from pathlib import Path

import pytest
from conftest import finish, program

ROOT = Path(__file__).parent.parent
BENCHES = ROOT / "benches"
sys.path.insert(0, str(BENCHES / "python"))

import harness
import report
from harness import Bound, Rival, Row
from measure import Effort, measure

SAMPLES = [
    {"row": "quick", "rival": rival, "round": number, "count": 1, "nanoseconds": nanoseconds}
    for rival, times in {"oneloom": [100, 110, 90], "peer": [300, 290, 310], "other": [1500, 1400, 1600]}.items()
    for number, nanoseconds in enumerate(times)
]
QUICK = Row("quick", "`quick()`", {"peer": 2.5, "other": 20})
SIZES = report.sizes([Bound("size", "a thing", 64)], [{"key": "size", "bytes": 56}])


def run(*command, timeout=60):
    with program("", command=[sys.executable, *map(str, command)]) as child:
        return finish(child, timeout)


def test_rivals_take_turns_in_every_round():
    turns = []

    def rival(name):
        def operate(count):
            turns.append(name)
            time.sleep(0.001)
            return count * 1e-6

        return Rival(name, operate)

    row = Row("row", "", {}, lambda: [rival("oneloom"), rival("peer")])
    samples = list(measure(row, Effort(rounds=4, seconds=1e-4)))
    assert turns[-8:] == ["oneloom", "peer", "peer", "oneloom"] * 2
    assert [sample.round for sample in samples] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert {round(sample.nanoseconds) for sample in samples} == {1000}


def test_a_statement_runs_as_often_as_it_is_told():
    done = []
    assert harness.statement("done.append(0)", done=done)(80) >= 0
    assert len(done) == 80
    assert harness.awaited("done.append(0)", done=done)(40) >= 0
    assert len(done) == 120


def test_threads_that_hang_are_an_error(monkeypatch):
    monkeypatch.setattr(harness, "LONGEST", 0.01)
    with pytest.raises(TimeoutError, match="80 operations"):
        harness.in_threads(lambda count: [harness.threading.Event().wait])(80)


def test_ratios_are_those_of_the_medians_and_the_spread_is_that_of_the_rounds():
    peer, other = report.results([QUICK], SAMPLES)
    assert (peer.ours, peer.theirs, peer.ratio, peer.meets) == (100, 300, 3, True)
    assert peer.spread == (290 / 110, 310 / 90)
    assert (other.ratio, other.meets) == (15, False)


def test_a_rival_that_missed_a_round_is_an_error():
    with pytest.raises(ValueError, match="quick: 3 rounds of oneloom, but 2 of peer"):
        report.results([QUICK], [sample for sample in SAMPLES if (sample["rival"], sample["round"]) != ("peer", 1)])


def test_the_table_shows_every_peer_and_marks_what_is_below_its_goal():
    assert report.table(report.results([QUICK], SAMPLES), SIZES, "About.") == (
        "About.\n\n"
        "| operation | oneloom | peer | | times as fast | middle half of the rounds | goal |\n"
        "|---|--:|---|--:|--:|--:|--:|\n"
        "| `quick()` | 100 ns | peer | 300 ns | 3.00× | 2.64× – 3.44× | 2.5× |\n"
        "|  |  | other | 1.5 µs | **15.0×** | 12.7× – 17.8× | 20× |\n\n"
        "| memory | bytes | at most |\n|---|--:|--:|\n| a thing | 56 | 64 |"
    )


def test_a_row_below_its_goal_needs_a_reason_on_the_page():
    results = report.results([QUICK], SAMPLES)
    large = report.sizes([Bound("size", "a thing", 64)], [{"key": "size", "bytes": 65}])
    assert report.misses(results, large) == ["quick", "size"]
    page = "# Page\n\n{}\n\nText.\n\n### `quick`\n\nBecause.\n\n### `size`\n\n## Next\n\n### `other`\n\nWords.\n"
    assert report.explained(page.format(report.BELOW)) == {"quick"}
    assert report.explained(page.format("## Else")) == set()


def test_only_what_stands_between_the_markers_is_replaced():
    page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    assert report.between_markers(page, "new") == page.replace("old", "new")
    with pytest.raises(ValueError, match="once each"):
        report.between_markers("no markers", "new")


def test_a_quick_run_of_one_row_prints_its_table_and_writes_nothing():
    kept = {path: path.stat().st_mtime_ns for path in [ROOT / "README.md", *BENCHES.glob("results/*")]}
    table = run(BENCHES / "run.py", "--quick", "--only", "^lock$").check().out
    assert re.search(r"\| `with lock`.* \| threading\.Lock \| .* \| 1\.35× \|\n", table)
    assert kept == {path: path.stat().st_mtime_ns for path in [ROOT / "README.md", *BENCHES.glob("results/*")]}


@pytest.mark.parametrize(
    "kind",
    ["queue-1-1", "thread-to-coroutine", "async-queue-tasks", "shared-queue-4-4-bytes", "shared-coroutine"]
    + ["pool-round-trip", "pool-imap-unordered", "pool-array", "pool-start", "thread-pool-submit"],
)
def test_rows_in_which_somebody_waits_run_to_their_end(kind):
    lines = run(BENCHES / "python" / "measure.py", kind, 1, 1).check().out.splitlines()
    samples = [json.loads(line) for line in lines]
    assert samples[0]["rival"] == "oneloom"
    assert all(sample["nanoseconds"] > 0 for sample in samples)


def test_a_pattern_that_finds_nothing_shows_what_there_is():
    told = run(BENCHES / "run.py", "--only", "no such row").check(status=2)
    assert "queue-1-1" in told.out


def test_the_readme_shows_the_kept_samples():
    assert run(BENCHES / "run.py", "--check").check().out == ""
