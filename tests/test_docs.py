"""The documentation tells the truth: its examples run, its programs print what the page shows, nothing public lacks a docstring.

In a page, a Python block with prompts is a doctest, and all of a page's share their names. A Python block without prompts
is a program of its own: where a text block follows at once, that is its output (`...` stands for anything), and what a comment
behind a `print` says is what it prints. A Rust block is an example of the crate's front page, which Rust's own tests run.
"""

import doctest
import importlib
import inspect
import pkgutil
import re
import sys
from pathlib import Path

import pytest

import oneloom
import oneloom.asyncio
import oneloom.concurrent.futures
import oneloom.multiprocessing
import oneloom.queue
import oneloom.shared
import oneloom.threading
from conftest import finish, program

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PUBLIC_MODULES = [
    oneloom,
    oneloom.threading,
    oneloom.queue,
    oneloom.asyncio,
    oneloom.concurrent.futures,
    oneloom.multiprocessing,
    oneloom.shared,
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def is_ours(thing):
    return str(getattr(thing, "__module__", "")).startswith("oneloom")


def own_modules():
    names = [module.name for module in pkgutil.walk_packages(oneloom.__path__, "oneloom.")]
    return [oneloom, *(importlib.import_module(name) for name in names if not name.endswith("__main__"))]


def documented():
    """Every docstring of the package that has an example, by the name of what it describes; with that one's module."""
    found = {}
    for module in own_modules():
        found[module.__name__] = module.__doc__, module
        for name, thing in vars(module).items():
            if not is_ours(thing):
                continue
            if inspect.isclass(thing) or inspect.isroutine(thing):
                found.setdefault(f"{thing.__module__}.{name}", (thing.__doc__, module))
            for attribute, value in vars(thing).items() if inspect.isclass(thing) else ():
                if inspect.isroutine(value) or inspect.isdatadescriptor(value):
                    found.setdefault(f"{thing.__module__}.{name}.{attribute}", (value.__doc__, module))
    return {name: place for name, place in found.items() if isinstance(place[0], str) and ">>>" in place[0]}


DOCUMENTED = documented()


def run_doctest(text, name, names, file=None, line=0):
    """Run the examples of one text; what fails is in the message. The names that they make go into `names`."""
    told = []
    test = doctest.DocTestParser().get_doctest(text, names, name, file, line)
    result = doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=told.append, clear_globs=False)
    names.update(test.globs)
    assert result.attempted and not result.failed, "".join(told)


def blocks(page):
    """The fenced blocks of a page: language, text, line."""
    text = page.read_text(encoding="utf-8")
    return [(match[1], match[2], text.count("\n", 0, match.start()) + 1) for match in BLOCK.finditer(text)]


PROGRAM = re.compile(r"^```python\n(?P<code>.*?)^```$(?:\n\n^```text\n(?P<output>.*?)^```$)?", re.DOTALL | re.MULTILINE)


def programs():
    """Blocks of the pages that are whole programs, each with the output that its page shows right below, if it does."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in PROGRAM.finditer(text):
            if ">>>" not in match["code"]:
                line = text.count("\n", 0, match.start()) + 1
                found.append(pytest.param(match["code"], match["output"], id=f"{page.name}:{line}"))
    return found


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_a_docstrings_example_runs(name):
    text, module = DOCUMENTED[name]
    run_doctest(text, name, dict(vars(module)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_pages_examples_run(page):
    names = {}
    for language, text, line in blocks(page):
        if language == "python" and ">>>" in text:
            run_doctest(text, page.name, names, str(page), line)


@pytest.mark.parametrize(("text", "shown"), programs())
def test_a_pages_program_does_what_the_page_says(text, shown, tmp_path):
    (tmp_path / "program.py").write_text(text)  # A file, as its reader has it: other processes import it.
    with program(None, command=[sys.executable, str(tmp_path / "program.py")]) as child:
        done = finish(child)
    assert not done.timed_out, done
    if shown is not None:
        matches = doctest.OutputChecker().check_output(shown, done.out + done.err, FLAGS)
        assert matches, f"the page shows\n{shown}\nbut it was\n{done}"
    else:
        told = [comment.strip() for comment in re.findall(r"^\s*print\(.*\) +# (.*)$", text, re.MULTILINE)]
        assert done.check().out.splitlines() == told


@pytest.mark.parametrize("text", [text for page in PAGES for language, text, _ in blocks(page) if language == "rust"])
def test_rust_in_a_page_is_an_example_of_the_crate(text):
    documented = (ROOT / "crates" / "oneloom" / "src" / "lib.rs").read_text(encoding="utf-8")
    assert text in "".join(line + "\n" for line in re.findall(r"^//! ?(.*)$", documented, re.MULTILINE))


def test_the_readme_opens_with_the_two_commands():
    language, first, _ = blocks(ROOT / "README.md")[0]
    assert language == "sh" and re.findall(r"^make (\w+)", first, re.MULTILINE) == ["demo", "test"]


def test_every_page_that_shows_python_is_run():
    shown = [page.name for page in PAGES for language, _, _ in blocks(page) if language == "python"]
    assert {"README.md", "deadlocks.md", "guide.md"} <= set(shown)


def public_things():
    """Everything of ours that a user may name, by its path."""
    for module in PUBLIC_MODULES:
        yield module.__name__, module
        for name in module.__all__:
            thing = getattr(module, name)
            if not is_ours(thing):
                continue
            yield f"{module.__name__}.{name}", thing
            if inspect.isclass(thing):
                for kind in thing.__mro__:
                    for attribute in vars(kind) if is_ours(kind) else ():
                        if not attribute.startswith("_"):
                            yield f"{module.__name__}.{name}.{attribute}", getattr(thing, attribute)
    yield "oneloom.deadlock", oneloom.deadlock
    yield "oneloom.deadlock.policy", oneloom.deadlock.policy
    for statistics in (oneloom.Lock().statistics(), oneloom.Queue().statistics()):
        for attribute in dir(statistics):
            if not attribute.startswith("_"):
                yield f"{type(statistics).__name__}.{attribute}", getattr(type(statistics), attribute)


def test_everything_public_has_a_docstring():
    assert [path for path, thing in public_things() if not (getattr(thing, "__doc__", None) or "").strip()] == []


def test_every_public_class_shows_an_example():
    unified = [getattr(oneloom, name) for name in oneloom.__all__]
    classes = [thing for thing in unified if inspect.isclass(thing) and not issubclass(thing, BaseException)]
    assert [kind.__name__ for kind in classes if ">>>" not in kind.__doc__] == []


def test_every_public_method_tells_its_parameters():
    unreadable = []
    for path, thing in public_things():
        if inspect.isroutine(thing):
            try:
                inspect.signature(thing)
            except ValueError:
                unreadable.append(path)
    assert unreadable == []
