"""The tidy check (.ci/tidy.py): each rule catches a planted violation, and a tidy tree has none."""

import importlib.util
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / ".ci" / "tidy.py"

MANIFEST = '[package]\nname = "{name}"\ndescription = "x"\n[lints]\nworkspace = true\n'
WAIT, SYNC, FACE, PYTHON = (f"crates/oneloom{tail}" for tail in ("-wait", "-sync", "", "-python"))
TIDY = {
    f"{WAIT}/Cargo.toml": MANIFEST.format(name="oneloom-wait"),
    f"{WAIT}/src/lib.rs": "//! Waiting.\n// SAFETY: nothing is shared.\nunsafe impl Send for Word {}\n",
    f"{SYNC}/Cargo.toml": MANIFEST.format(name="oneloom-sync") + "[dependencies]\noneloom-wait.workspace = true\n",
    f"{SYNC}/src/lib.rs": "//! Primitives.\n#![deny(unsafe_code)]\n#[allow(unsafe_code)]\nmod cell;\n",
    f"{SYNC}/src/cell.rs": "//! Cells.\nfn read() {\n    // SAFETY: initialised by new.\n    let x =\n        unsafe { y };\n}\n",
    f"{FACE}/Cargo.toml": MANIFEST.format(name="oneloom"),
    f"{FACE}/src/lib.rs": '//! The face, without pyo3.\n#![forbid(unsafe_code)]\nconst WORD: &str = "unsafe pyo3";\n',
    f"{PYTHON}/Cargo.toml": MANIFEST.format(name="oneloom-python") + '[dependencies]\npyo3 = "0"\n',
    f"{PYTHON}/src/lib.rs": "//! Python.\nuse pyo3::prelude::*;\n/// # Safety\n/// `x` lives.\n#[inline]\nunsafe fn f() {}\n",
    "python/oneloom/__init__.py": '"""The package."""\n',
    "README.md": "# Title\nSee [the map](docs/map.md#code-map) and `[not](a-link)`.\n",
    "docs/map.md": "# Map\n## Code map\nBack to [the start](../README.md#title), or [out](https://example.org).\n",
    "Makefile": "# What one can do here.\n",
    ".ci/run": "#!/usr/bin/env bash\n# All checks.\n",
}

# Rule, what is planted over the tidy tree, and what the finding says.
PLANTED = [
    ("check_layers", {f"{WAIT}/Cargo.toml": MANIFEST.format(name="oneloom-wait") + '[dependencies]\noneloom-sync = "1"\n'}, "does not stand above"),
    ("check_layers", {f"{FACE}/Cargo.toml": MANIFEST.format(name="oneloom") + '[target."cfg(loom)".dev-dependencies]\nx = {package = "oneloom-python"}\n'}, "does not stand above"),
    ("check_layers", {"crates/oneloom-new/Cargo.toml": MANIFEST.format(name="oneloom-new")}, "no place in the layers"),
    ("check_layers", {f"{FACE}/Cargo.toml": MANIFEST.format(name="oneloom-wait")}, "names must agree"),
    ("check_layers", {f"{FACE}/Cargo.toml": '[package]\nname = "oneloom"\n'}, "workspace's lints"),
    ("check_pyo3", {f"{FACE}/Cargo.toml": MANIFEST.format(name="oneloom") + "[dependencies]\npyo3.workspace = true\n"}, "depend on pyo3"),
    ("check_pyo3", {f"{SYNC}/src/new.rs": "//! New.\nuse pyo3_ffi::PyObject;\n"}, "name pyo3"),
    ("check_unsafe_place", {f"{SYNC}/src/new.rs": "//! New.\nfn f() { unsafe { g() } }\n"}, "not allowed in oneloom-sync"),
    ("check_unsafe_place", {f"{FACE}/tests/new.rs": "//! New.\nunsafe fn f() {}\n"}, "not allowed in oneloom here"),
    ("check_unsafe_place", {"benches/rust/main.rs": "//! New.\nunsafe fn f() {}\n"}, "not allowed in benches"),
    ("check_unsafe_place", {f"{FACE}/src/lib.rs": "//! The face.\n"}, "forbid(unsafe_code)"),
    ("check_unsafe_place", {f"{SYNC}/src/lib.rs": "//! Primitives.\n"}, "deny(unsafe_code)"),
    ("check_atomics", {f"{SYNC}/src/new.rs": "//! New.\nuse std::sync::atomic::AtomicU32;\n"}, "atomics come from"),
    ("check_atomics", {f"{WAIT}/src/new.rs": "//! New.\nuse core::sync::{Arc, atomic::*};\n"}, "atomics come from"),
    ("check_safety_comments", {f"{WAIT}/src/new.rs": "//! New.\nfn f() {\n    unsafe { g() }\n}\n"}, "needs a SAFETY comment"),
    ("check_safety_comments", {f"{WAIT}/src/new.rs": "//! New.\n// SAFETY: far off.\nfn f() {}\nunsafe impl Sync for X {}\n"}, "needs a SAFETY comment"),
    ("check_safety_comments", {f"{WAIT}/src/new.rs": '//! New.\n/// Does it.\npub unsafe extern "C" fn f() {}\n'}, "`# Safety` section"),
    ("check_first_words", {f"{WAIT}/src/new.rs": "use std::mem;\n"}, "//! comment"),
    ("check_first_words", {"python/oneloom/new.py": "import os\n"}, "starts with a docstring"),
    ("check_first_words", {"python/oneloom/new.pyi": ""}, "starts with a docstring"),
    ("check_first_words", {".github/workflows/new.yml": "on: push\n"}, "starts with a comment"),
    ("check_first_words", {".ci/new": "#!/bin/sh\nexit 0\n"}, "starts with a comment"),
    ("check_first_words", {"new.toml": "[tool]\n"}, "starts with a comment"),
    ("check_first_words", {"docs/new.md": "Prose.\n"}, "starts with its title"),
    ("check_length", {"tests/new.py": '"""New."""\n' + "pass\n" * 600}, "601 lines"),
    ("check_unwanted", {"docs/new.md": "# New\nLook in /" + "root/notes.\n"}, "somebody's machine"),
    ("check_unwanted", {f"{WAIT}/src/new.rs": "//! New.\n// TO" + "DO: write it.\n"}, "note to oneself"),
    ("check_unwanted", {f"{WAIT}/src/new.rs": "//! New.\nfn f() { if x &&" + " let Some(y) = z {} }\n"}, "let chain"),
    ("check_unwanted", {f"{PYTHON}/src/new.rs": "//! New.\nuse pyo3::{inter" + "n, prelude::*};\n"}, "half-filled"),
    ("check_unwanted", {f"{WAIT}/src/new.rs": "//! New.\nfn f() { tod" + "o!() }\n"}, "unfinished"),
    ("check_unwanted", {f"{WAIT}/tests/new.rs": "//! New.\n#[ignor" + "e]\nfn f() {}\n"}, "does not run"),
    ("check_unwanted", {"tests/new.py": '"""New."""\n@pytest.mark.ski' + "p\ndef test(): ...\n"}, "does not run"),
    ("check_links", {"docs/new.md": "# New\n[gone](gone.md)\n"}, "leads nowhere"),
    ("check_links", {"docs/new.md": "# New\n[gone](../README.md#gone)\n"}, "no such heading"),
]


def load_tidy():
    spec = importlib.util.spec_from_file_location("tidy", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["tidy"] = module
    spec.loader.exec_module(module)
    return module


tidy = load_tidy()


def plant(root, tree):
    for name, text in tree.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def findings(root, rule):
    files = sorted(PurePosixPath(path.relative_to(root).as_posix()) for path in root.rglob("*") if path.is_file())
    return list(getattr(tidy, rule)(tidy.Tree(root, files)))


@pytest.mark.parametrize("rule", [rule.__name__ for rule in tidy.RULES])
def test_a_tidy_tree_has_no_findings(tmp_path, rule):
    plant(tmp_path, TIDY)
    assert findings(tmp_path, rule) == []


@pytest.mark.parametrize(("rule", "planted", "says"), PLANTED)
def test_a_planted_violation_is_found_where_it_stands(tmp_path, rule, planted, says):
    plant(tmp_path, TIDY | planted)
    found = findings(tmp_path, rule)
    assert any(says in finding.message and str(finding.path) in planted for finding in found), found


def test_every_rule_has_a_planted_violation():
    assert {rule.__name__ for rule in tidy.RULES} == {rule for rule, _, _ in PLANTED}


def test_the_command_prints_findings_and_fails(tmp_path):
    plant(tmp_path, TIDY | {"python/oneloom/new.py": "import os\n"})
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    run = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "python/oneloom/new.py:1: " in run.stdout
    (tmp_path / "python/oneloom/new.py").unlink()
    subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, check=True)
