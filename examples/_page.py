"""What the demo prints with: headings, quotations and colours on the page, a progress bar beside it.

Colours and the bar appear only on a terminal, colours also not where NO_COLOR is set; all else is plain text.
"""

import os
import sys
import textwrap
from collections.abc import Iterable
from typing import TextIO

WIDTH = 100
STYLES = {"heading": "1;36", "strong": "1", "faint": "2", "good": "32", "bad": "1;31"}


def is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def styled(text: str, style: str) -> str:
    if is_terminal(sys.stdout) and not os.environ.get("NO_COLOR"):
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m"
    return text


def heading(text: str) -> None:
    print(f"\n{styled(text, 'heading')}", flush=True)


def paragraph(text: str) -> None:
    print(textwrap.fill(text, WIDTH, initial_indent="   ", subsequent_indent="   ", break_on_hyphens=False), flush=True)


def line(text: str = "", style: str | None = None) -> None:
    print(f"   {styled(text, style) if style else text}".rstrip(), flush=True)


def quotation(lines: Iterable[str]) -> None:
    """What another program printed."""
    for text in lines:
        for part in textwrap.wrap(text, WIDTH, subsequent_indent="    ", break_long_words=False) or [""]:
            print(styled(f"   | {part}".rstrip(), "faint"), flush=True)


def plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


class Progress:
    """A bar on standard error for as long as a `with` block runs, only its label where no total is known.

    Where standard error is not a terminal, nothing is shown.
    """

    LENGTH = 30

    def __init__(self, label: str, total: int | None = None) -> None:
        self._label = label
        self._total = total
        self._done = 0
        self._visible = is_terminal(sys.stderr)
        self._step = max(1, (total or 0) // 100)
        self._next = 0 if self._visible else sys.maxsize

    def __enter__(self) -> "Progress":
        self._draw()
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._visible:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def advance(self) -> None:
        # Called for each item that is measured, so the common case is one addition and one comparison.
        self._done += 1
        if self._done >= self._next:
            self._draw()

    def _draw(self) -> None:
        if not self._visible:
            return
        self._next = self._done + self._step
        if self._total:
            share = min(1.0, self._done / self._total)
            text = f"[{'#' * round(share * self.LENGTH):.<{self.LENGTH}}] {share:4.0%}  {self._label}"
        else:
            text = f"... {self._label}"
        sys.stderr.write(f"\r   {text}\x1b[K")
        sys.stderr.flush()
