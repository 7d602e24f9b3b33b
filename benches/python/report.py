"""What the samples say: medians, ratios and their spread, the README's table, the plot, and which rows miss their goal."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from harness import OURS, Bound, Row

Record = dict[str, Any]  # A sample, a size, or all of a run, as it stands in a file.

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
BELOW = "## Below the goal"


@dataclass(frozen=True)
class Result:
    """oneloom beside one peer in one row."""

    row: Row
    peer: str
    ours: float  # median nanoseconds of one operation
    theirs: float
    pairs: tuple[float, ...]  # the ratio in every round, sorted
    goal: float | None

    @property
    def ratio(self) -> float:
        """How many times as fast as the peer: the ratio of the medians."""
        return self.theirs / self.ours

    @property
    def spread(self) -> tuple[float, float]:
        """Between which ratios the middle half of the rounds lies."""
        quarter = len(self.pairs) // 4
        return self.pairs[quarter], self.pairs[-1 - quarter]

    @property
    def meets(self) -> bool:
        return self.goal is None or self.ratio >= self.goal


@dataclass(frozen=True)
class Size:
    """What was measured for a bound."""

    bound: Bound
    size: float

    @property
    def meets(self) -> bool:
        return self.bound.at_most is None or self.size <= self.bound.at_most


def results(rows: Iterable[Row], samples: Iterable[Record]) -> list[Result]:
    """Every row beside each of its peers; a row without samples is left out, a row that lacks a peer is an error."""
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for sample in samples:
        times[sample["row"], sample["rival"]].append(sample["nanoseconds"])
    measured = {row for row, _ in times}
    found = []
    for row in rows:
        if row.key not in measured:
            continue
        ours = times[row.key, OURS]
        for peer, goal in row.goals.items():
            theirs = times[row.key, peer]
            if len(ours) != len(theirs):
                raise ValueError(f"{row.key}: {len(ours)} rounds of {OURS}, but {len(theirs)} of {peer}")
            pairs = tuple(sorted(their / our for our, their in zip(ours, theirs, strict=True)))
            found.append(Result(row, peer, median(ours), median(theirs), pairs, goal))
    return found


def sizes(bounds: Iterable[Bound], found: Iterable[Record]) -> list[Size]:
    """What was found, in the order of the bounds."""
    figures = {size["key"]: size["bytes"] for size in found}
    return [Size(bound, figures[bound.key]) for bound in bounds if bound.key in figures]


def misses(results: Iterable[Result], sizes: Iterable[Size]) -> list[str]:
    """The keys of the rows that are below their goal with a peer, or too large."""
    slow = [result.row.key for result in results if not result.meets]
    return list(dict.fromkeys(slow + [size.bound.key for size in sizes if not size.meets]))


def explained(page: str) -> set[str]:
    """The rows that the page lists below their goal: a heading with the key, and a text that says why."""
    _, _, section = page.partition(f"\n{BELOW}\n")
    section = re.split(r"^## ", section, flags=re.MULTILINE)[0]
    parts = re.split(r"^### (.*)$", section, flags=re.MULTILINE)[1:]
    told = zip(parts[::2], parts[1::2], strict=True)
    return {key for heading, text in told if text.strip() for key in re.findall(r"`([^`]+)`", heading)}


def duration(nanoseconds: float) -> str:
    """Three digits and a unit."""
    for limit, scale, unit in ((1e3, 1, "ns"), (1e6, 1e3, "µs"), (1e9, 1e6, "ms")):
        if nanoseconds < limit:
            return f"{nanoseconds / scale:.3g} {unit}"
    return f"{nanoseconds / 1e9:.3g} s"


def times(ratio: float) -> str:
    return f"{ratio:.1f}×" if ratio >= 10 else f"{ratio:.2f}×"


def table(results: Sequence[Result], sizes: Sequence[Size], about: str) -> str:
    """Markdown: what was measured, how long it takes here and there, the ratio, its spread and the goal."""
    lines = [
        about,
        "",
        "| operation | oneloom | peer | | times as fast | middle half of the rounds | goal |",
        "|---|--:|---|--:|--:|--:|--:|",
    ]
    last = None
    for result in results:
        if result.row.group != (last.group if last else ""):
            lines.append(f"| **{result.row.group}** | | | | | | |")
        same = result.row is last
        last = result.row
        low, high = result.spread
        ratio = times(result.ratio) if result.meets else f"**{times(result.ratio)}**"
        cells = [
            "" if same else result.row.operation,
            "" if same else duration(result.ours),
            result.peer,
            duration(result.theirs),
            ratio,
            f"{times(low)} – {times(high)}",
            "" if result.goal is None else f"{result.goal:g}×",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    if sizes:
        lines += ["", "| memory | bytes | at most |", "|---|--:|--:|"]
        for size in sizes:
            shown = f"{size.size:,.0f}" if size.meets else f"**{size.size:,.0f}**"
            limit = "" if size.bound.at_most is None else f"{size.bound.at_most:,.0f}"
            lines.append(f"| {size.bound.what} | {shown} | {limit} |")
    return "\n".join(lines)


def between_markers(page: str, content: str) -> str:
    """The page with what stands between the markers replaced."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"the page needs {BEGIN} and {END}, once each")
    head, rest = page.split(BEGIN)
    tail = rest.split(END)[1]
    return f"{head}{BEGIN}\n{content}\n{END}{tail}"


def plot(results: Sequence[Result], path: Path) -> None:
    """Horizontal bars under their groups' headings: the ratio to each peer on a logarithmic scale, the goal marked."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "oneloom"  # The same samples make the same file.
    matplotlib.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(layout="constrained")
    axes.set_xscale("log")
    names: dict[float, str] = {}
    place, last = 0.0, None
    for result in results:
        if last is None or result.row.group != last.group:
            place += 2
            heading = {"ha": "right", "va": "center", "fontsize": 9, "weight": "bold"}
            axes.text(-0.015, place - 1, result.row.group, transform=axes.get_yaxis_transform(), **heading)
        if result.row is not last:
            place += 0.25
            names[place] = result.row.operation.replace("`", "")
        last = result.row
        axes.barh(place, result.ratio - 1, left=1, height=0.66, color="#2a7f62" if result.meets else "#b5651d")
        low, high = result.spread
        axes.plot([low, high], [place, place], color="#222222", linewidth=1)
        if result.goal is not None:
            axes.plot([result.goal] * 2, [place - 0.38, place + 0.38], color="#111111", linewidth=2)
        right = max(result.ratio, result.goal or 0, high, 1)
        axes.text(right * 1.08, place, f"{times(result.ratio)}  {result.peer}", va="center", fontsize=7.5)
        place += 1
    axes.set_yticks(list(names), list(names.values()), fontsize=7.5)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(place, 0.3)
    figure.set_size_inches(9, 0.2 * place + 0.8)
    axes.axvline(1, color="#888888", linewidth=0.8)
    axes.set_xlim(right=axes.get_xlim()[1] * 4)  # Room for the peers' names.
    ticks = [0.5, 1, 2, 5, 10, 20, 50, 100]
    axes.set_xticks(ticks, [f"{tick:g}×" for tick in ticks], fontsize=8)
    axes.minorticks_off()
    axes.tick_params(axis="x", top=True, labeltop=True)
    axes.set_xlabel("how many times as fast as the peer; tick: goal, line: middle half of the rounds", fontsize=8)
    for side in ("right", "left"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
