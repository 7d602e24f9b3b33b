"""The tidy check: the rules of this codebase that no compiler or linter knows.

`python .ci/tidy.py [ROOT]` prints one line for each finding and ends non-zero if there is one. A rule is a function
from a tree to findings, listed in RULES; tests/test_tidy.py plants a violation of every one of them.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

# The layers: a crate uses only crates that stand above it.
LAYERS = (
    "oneloom-wait",
    "oneloom-sync",
    "oneloom-shm",
    "oneloom-exec",
    "oneloom-loop",
    "oneloom-tasks",
    "oneloom",
    "oneloom-python",
)

# Who may write `unsafe`: the whole crate ("") or these paths in it. Every other crate forbids it to itself.
UNSAFE = {
    "oneloom-wait": ("",),
    "oneloom-sync": ("src/cell.rs",),
    "oneloom-shm": ("",),
    "oneloom-python": ("",),
}

PYTHON_CRATE = "oneloom-python"
# Where atomics come from in the crates that models run.
ATOMICS = PurePosixPath("crates/oneloom-wait/src/atomic.rs")
MODELLED = ("oneloom-wait", "oneloom-sync")
LONGEST = 600  # lines of a source file
COMMENTED = {".sh", ".toml", ".yml", ".yaml"}
GENERATED = {"Cargo.lock"}
LICENCES = ("LICENSE-",)

# Character classes keep these patterns from finding themselves.
UNWANTED = (
    (re.compile(r"(?<![\w.~-])/(?:hom[e]|roo[t]|wor[k]|User[s])/\w"), "a path of somebody's machine"),
    (re.compile(r"\b(?:TOD[O]|FIXM[E]|XX[X])\b"), "a note to oneself: do it, or open an issue"),
    (re.compile(r"\b(?:tod[o]|unimplemente[d]|db[g])!\("), "unfinished code"),
    (re.compile(r"&& le[t]\b"), "a let chain: the oldest Rust that is promised has none"),
    (re.compile(r"\bPyOnceLoc[k]\b|\bpyo3::(?:\{.*)?inter[n]\b"), "a cell that a fork may find half-filled: take `once`"),
    (re.compile(r"#\[ignor[e]|mark\.(?:ski[p]|xfai[l])\b|pytest\.(?:ski[p]|xfai[l])\("), "a test that does not run"),
)


@dataclass(frozen=True)
class Finding:
    """One violation: where, and what is wrong there."""

    path: PurePosixPath
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


@dataclass
class Tree:
    """The files under check, read once."""

    root: Path
    files: list[PurePosixPath]
    texts: dict[PurePosixPath, str] = field(default_factory=dict)

    def text(self, path: PurePosixPath) -> str:
        """The file's text; empty for what is not text."""
        if path not in self.texts:
            try:
                self.texts[path] = (self.root / path).read_text(encoding="utf-8")
            except UnicodeDecodeError:
                self.texts[path] = ""
        return self.texts[path]

    def having(self, *suffixes: str) -> Iterator[PurePosixPath]:
        """The files with one of these suffixes."""
        return (path for path in self.files if path.suffix in suffixes)

    def manifests(self) -> Iterator[tuple[PurePosixPath, dict]]:
        """Every package's Cargo.toml, parsed; the workspace's own is not a package."""
        for path in self.files:
            if path.name == "Cargo.toml":
                manifest = tomllib.loads(self.text(path))
                if "package" in manifest:
                    yield path, manifest


def crate_of(path: PurePosixPath) -> str | None:
    """The crate that a file belongs to, by its folder."""
    return path.parts[1] if len(path.parts) > 2 and path.parts[0] == "crates" else None


def dependencies(manifest: dict) -> Iterator[str]:
    """Package names in every dependency table of a manifest, those under [target] included."""
    for table in (manifest, *manifest.get("target", {}).values()):
        for kind in ("dependencies", "dev-dependencies", "build-dependencies"):
            for name, wanted in table.get(kind, {}).items():
                yield wanted.get("package", name) if isinstance(wanted, dict) else name


RUST_NOT_CODE = re.compile(
    r"""//[^\n]* | /\*.*?\*/ | \b(?:br|cr|r)(?P<hashes>\#*)".*?"(?P=hashes) | "(?:\\.|[^"\\])*" | '(?:\\[^']+|[^'\\\n])'""",
    re.DOTALL | re.VERBOSE,
)


def rust_code(text: str) -> str:
    """Rust source with comments and literals blanked out, line numbers kept."""
    return RUST_NOT_CODE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def check_layers(tree: Tree) -> Iterator[Finding]:
    """A crate uses only crates that stand above it; each carries the workspace's lints."""
    for path, manifest in tree.manifests():
        name = manifest["package"]["name"]
        if manifest.get("lints") != {"workspace": True}:
            yield Finding(path, 1, "a crate takes the workspace's lints: [lints] workspace = true")
        if path.parts[0] != "crates":
            continue  # A bench or fuzz package stands below everything, and nothing may name it.
        if name != crate_of(path):
            yield Finding(path, 1, f"package {name} stands in the folder {crate_of(path)}: the names must agree")
        if name not in LAYERS:
            yield Finding(path, 1, f"{name} has no place in the layers")
            continue
        above = LAYERS[: LAYERS.index(name)]
        for used in dependencies(manifest):
            if used.startswith("oneloom") and used not in above:
                yield Finding(path, 1, f"{name} uses {used}, which does not stand above it")


def check_pyo3(tree: Tree) -> Iterator[Finding]:
    """Only one crate names pyo3."""
    for path, manifest in tree.manifests():
        if crate_of(path) != PYTHON_CRATE and any(used.startswith("pyo3") for used in dependencies(manifest)):
            yield Finding(path, 1, f"only {PYTHON_CRATE} may depend on pyo3")
    for path in tree.having(".rs"):
        if crate_of(path) != PYTHON_CRATE:
            for number, line in enumerate(rust_code(tree.text(path)).splitlines(), 1):
                if re.search(r"\bpyo3\w*\b", line):
                    yield Finding(path, number, f"only {PYTHON_CRATE} may name pyo3")


def check_unsafe_place(tree: Tree) -> Iterator[Finding]:
    """`unsafe` stands only where the table allows it, and the other crates forbid it to themselves."""
    for path in tree.having(".rs"):
        crate = crate_of(path)
        inside = PurePosixPath(*path.parts[2:]).as_posix()
        allowed = UNSAFE.get(crate or "", ())
        if not any(inside.startswith(place) for place in allowed):
            for number, line in enumerate(rust_code(tree.text(path)).splitlines(), 1):
                if re.search(r"\bunsafe\b", line):
                    yield Finding(path, number, f"unsafe is not allowed in {crate or path.parts[0]} here")
        if crate and inside in ("src/lib.rs", "src/main.rs") and allowed != ("",):
            # A crate with one unsafe module can only deny: what is forbidden cannot be allowed again below.
            wanted = "#![deny(unsafe_code)]" if allowed else "#![forbid(unsafe_code)]"
            if wanted not in tree.text(path):
                yield Finding(path, 1, f"{crate} must say {wanted}")


def check_atomics(tree: Tree) -> Iterator[Finding]:
    """Atomics come through one module, so that a model checker can replace every one of them."""
    for path in tree.having(".rs"):
        if crate_of(path) in MODELLED and path.parts[2] == "src" and path != ATOMICS:
            for number, line in enumerate(rust_code(tree.text(path)).splitlines(), 1):
                if re.search(r"\b(?:std|core)::sync::(?:atomic|\{[^}]*\batomic)\b", line):
                    yield Finding(path, number, f"atomics come from {ATOMICS}")


UNSAFE_ITEM = re.compile(r"\bunsafe\s+(?:extern\s+(?:\"[^\"]*\"\s+|\s*)?)?(?:fn\s+\w|trait\b)")


def check_safety_comments(tree: Tree) -> Iterator[Finding]:
    """Each unsafe block and impl says why it is sound, each unsafe fn and trait what it demands."""
    for path in tree.having(".rs"):
        lines = tree.text(path).splitlines()
        for index, code in enumerate(rust_code(tree.text(path)).splitlines()):
            for match in re.finditer(r"\bunsafe\b(?!_)", code):
                rest = code[match.start() :]
                if re.match(r"unsafe\s+(?:extern\s+)?fn\s*\(", rest) or "unsafe(" in rest.replace(" ", ""):
                    continue  # The type of a function pointer, and an attribute such as #[unsafe(no_mangle)].
                words = comment_above(lines, index)
                if UNSAFE_ITEM.match(rest):
                    if "# Safety" not in words and "SAFETY:" not in words:
                        yield Finding(path, index + 1, "an unsafe fn or trait needs a `# Safety` section")
                elif "SAFETY:" not in words:
                    yield Finding(path, index + 1, "unsafe needs a SAFETY comment")


def comment_above(lines: list[str], index: int) -> str:
    """The comments on a statement's own line and directly above it, across its earlier lines and attributes."""
    words = [lines[index]] if "//" in lines[index] else []
    seen_comment = False
    for line in map(str.strip, reversed(lines[:index])):
        if line.startswith("//"):
            words.append(line)
            seen_comment = True
        elif line.startswith("#["):
            continue
        elif seen_comment or not line or line.endswith((";", "{", "}")):
            break
    return "\n".join(words)


def check_first_words(tree: Tree) -> Iterator[Finding]:
    """A file's first lines say what it is for."""
    for path in tree.files:
        text = tree.text(path)
        lines = [line for line in text.splitlines() if line.strip()]
        script = bool(lines) and lines[0].startswith("#!") and not lines[0].startswith("#![")
        first = (lines[1:] if script else lines)[:1] or [""]
        if path.name in GENERATED or path.name.startswith(LICENCES):
            continue
        if path.suffix == ".rs":
            if not first[0].startswith("//!"):
                yield Finding(path, 1, "a Rust file starts with a //! comment that says what it is for")
        elif path.suffix in (".py", ".pyi"):
            if not python_docstring(text):
                yield Finding(path, 1, "a Python file starts with a docstring that says what it is for")
        elif path.suffix == ".md":
            if not first[0].startswith("#"):
                yield Finding(path, 1, "a page starts with its title")
        elif path.name == "Cargo.toml" and "description" in tomllib.loads(text).get("package", {}):
            continue
        elif (path.suffix in COMMENTED or path.name == "Makefile" or script) and not first[0].startswith("#"):
            yield Finding(path, 1, "the file starts with a comment that says what it is for")


def python_docstring(text: str) -> str | None:
    """The module's docstring; what does not parse is somebody else's finding."""
    try:
        return ast.get_docstring(ast.parse(text))
    except SyntaxError:
        return "unparsable"


def check_length(tree: Tree) -> Iterator[Finding]:
    """No source file is too long to read."""
    for path in tree.having(".rs", ".py", ".pyi"):
        count = len(tree.text(path).splitlines())
        if count > LONGEST:
            yield Finding(path, count, f"{count} lines: split files above {LONGEST}")


def check_unwanted(tree: Tree) -> Iterator[Finding]:
    """No machine's paths, no unfinished code, no test that does not run."""
    for path in tree.files:
        if path.name in GENERATED:
            continue
        for number, line in enumerate(tree.text(path).splitlines(), 1):
            for pattern, what in UNWANTED:
                if pattern.search(line):
                    yield Finding(path, number, f"{what}: {line.strip()[:80]}")


LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def check_links(tree: Tree) -> Iterator[Finding]:
    """Links in Markdown point at files and headings that exist."""
    known = set(tree.files) | {parent for path in tree.files for parent in path.parents}
    for path in tree.having(".md"):
        for number, line in enumerate(prose(tree.text(path)).splitlines(), 1):
            for target in LINK.findall(line):
                if re.match(r"[a-z]+:", target):
                    continue
                file, _, anchor = target.partition("#")
                aim = normal(path.parent / file) if file else path
                if aim not in known:
                    yield Finding(path, number, f"the link leads nowhere: {target}")
                elif anchor and aim.suffix == ".md" and anchor not in headings(tree.text(aim)):
                    yield Finding(path, number, f"no such heading: {target}")


def prose(page: str) -> str:
    """A page without its code, line numbers kept."""
    return re.sub(r"^```.*?^```|`[^`\n]*`", lambda code: re.sub(r"[^\n]", " ", code.group()), page, flags=re.S | re.M)


def normal(path: PurePosixPath) -> PurePosixPath:
    """The path with its `..` resolved."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        else:
            parts.append(part)
    return PurePosixPath(*parts)


def headings(page: str) -> set[str]:
    """The anchors that a Markdown host makes of a page's headings."""
    page = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ +(.+?) *$", page, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


RULES: tuple[Callable[[Tree], Iterator[Finding]], ...] = (
    check_layers,
    check_pyo3,
    check_unsafe_place,
    check_atomics,
    check_safety_comments,
    check_first_words,
    check_length,
    check_unwanted,
    check_links,
)


def check(root: Path, files: list[PurePosixPath]) -> list[Finding]:
    """All findings of all rules."""
    tree = Tree(root, files)
    return [finding for rule in RULES for finding in rule(tree)]


def listed(root: Path) -> list[PurePosixPath]:
    """The files git knows or would add."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    return sorted(PurePosixPath(name) for name in set(names) if name and (root / name).is_file())


def main() -> int:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    files = listed(root)
    findings = check(root, files)
    for finding in findings:
        print(finding)
    print(f"tidy: {len(files)} files, {len(RULES)} rules, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
