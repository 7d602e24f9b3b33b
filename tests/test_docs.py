"""The pages' code: every Python block runs and prints what its comments say, every Rust block is one that Rust tests."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

from conftest import run_program

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = ["oneloom", "oneloom.threading", "oneloom.queue", "oneloom.asyncio", "oneloom.deadlock"]


def blocks(language):
    """Each code block of that language, named by page and line."""
    for page in PAGES:
        text = page.read_text()
        for block in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            line = text.count("\n", 0, block.start()) + 1
            yield pytest.param(block.group(1), id=f"{page.name}:{line}")


def test_the_readme_opens_with_the_two_commands():
    first_block = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)
    assert re.findall(r"^make (\w+)", first_block, re.MULTILINE) == ["demo", "test"]


@pytest.mark.parametrize("code", [*blocks("python")])
def test_python_in_a_page_prints_what_its_comments_say(code):
    done = run_program(code).check()
    assert done.out.splitlines() == re.findall(r"^ *print\(.*\)  +# (.*)$", code, re.MULTILINE)


@pytest.mark.parametrize("code", [*blocks("rust")])
def test_rust_in_a_page_is_an_example_of_the_crate(code):
    documented = (ROOT / "crates" / "oneloom" / "src" / "lib.rs").read_text()
    assert code in "".join(line + "\n" for line in re.findall(r"^//! ?(.*)$", documented, re.MULTILINE))


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_give_what_they_show(module):
    module = importlib.import_module(module)
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
    # Without a module the finder also looks into what native code defines.
    for name in getattr(module, "__all__", ["__doc__"]):
        found = getattr(module, name)
        if getattr(found, "__module__", "").startswith("oneloom"):
            for example in finder.find(found, name, module=False, globs=vars(module).copy()):
                runner.run(example)
    assert runner.summarize().failed == 0
