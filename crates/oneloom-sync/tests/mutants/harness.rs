//! The models' own test: faults are planted in the code, one after the other, and for each of them the model
//! that is named beside it must fail.
//!
//! A copy of the crates is made in which every fault stands beside what is right, and a variable of the
//! environment chooses between them as a model runs. So all of them cost one build, and the code itself knows
//! nothing of them. A fault whose place is not found exactly once fails the test: the table follows the code.

#![allow(dead_code, reason = "not every table has each way of planting a fault")]

use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

const CHOICE: &str = "ONELOOM_MUTANT";

/// A fault: how `old`, which is only once in `module` (spaces and line breaks don't count), reads `with` it, where
/// `PLANTED` says whether it is there in this run; and the model (test file and test) that must notice.
pub struct Mutant {
    pub name: &'static str,
    pub module: &'static str,
    pub old: &'static str,
    pub with: With,
    pub model: (&'static str, &'static str),
}

/// What a fault does to a place.
pub enum With {
    /// The statement is not executed.
    Out,
    /// The place reads so.
    Text(&'static str),
    /// So do all places that read alike.
    Everywhere(&'static str),
}

/// `old` is left out.
pub const fn without(
    name: &'static str,
    module: &'static str,
    old: &'static str,
    model: (&'static str, &'static str),
) -> Mutant {
    Mutant { name, module, old, with: With::Out, model }
}

/// `old` reads `with`.
pub const fn with(
    name: &'static str,
    module: &'static str,
    old: &'static str,
    with: &'static str,
    model: (&'static str, &'static str),
) -> Mutant {
    Mutant { name, module, old, with: With::Text(with), model }
}

/// Plants each of `mutants` in a copy of `crates`, and fails if one is not noticed. The first of the crates is where
/// the others find what chooses.
pub fn check(mutants: &[Mutant], crates: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutants");
    copy_crates(&root, &copy, crates);
    mutants.iter().enumerate().for_each(|(number, mutant)| plant(&copy, number, mutant));
    let models = build(&copy, mutants);
    let unnoticed: Vec<_> = mutants
        .iter()
        .enumerate()
        .filter(|(number, mutant)| !is_noticed(&models, *number, mutant))
        .map(|(_, mutant)| mutant.name)
        .collect();
    assert!(unnoticed.is_empty(), "no model notices that {unnoticed:#?}");
}

fn copy_crates(root: &Path, copy: &Path, crates: &[&str]) {
    for name in crates {
        let to = copy.join("crates").join(name);
        // What is gone from the code must go from the copy.
        let _ = fs::remove_dir_all(&to);
        copy_folder(&root.join("crates").join(name), &to);
    }
    fs::copy(root.join("Cargo.lock"), copy.join("Cargo.lock")).unwrap();
    let workspace = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let (before, members) = workspace.split_once("members = [").unwrap();
    let (_, after) = members.split_once(']').unwrap();
    let members: Vec<_> = crates.iter().map(|name| format!("\"crates/{name}\"")).collect();
    let members = members.join(", ");
    fs::write(copy.join("Cargo.toml"), format!("{before}members = [{members}]{after}")).unwrap();
    let library = copy.join("crates/oneloom-wait/src/lib.rs");
    let text = fs::read_to_string(&library).unwrap();
    let chooser = format!(
        "/// Whether the fault of this number is planted in this run.
pub fn planted(number: usize) -> bool {{
    static CHOSEN: std::sync::OnceLock<Option<usize>> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(|| std::env::var(\"{CHOICE}\").ok()?.parse().ok()) == Some(number)
}}"
    );
    fs::write(library, format!("{text}\n{chooser}\n")).unwrap();
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Puts the fault beside what is right, chosen by its number.
fn plant(copy: &Path, number: usize, mutant: &Mutant) {
    let Mutant { name, module, old, with, .. } = mutant;
    let home = if module.starts_with("oneloom-wait") { "crate" } else { "oneloom_wait" };
    let text = match with {
        With::Out => format!("if !PLANTED {{ {old} }}"),
        With::Text(text) | With::Everywhere(text) => (*text).to_owned(),
    };
    let planted = text.replace("PLANTED", &format!("{home}::planted({number})"));
    let mut count = 0;
    for path in files_of(&copy.join("crates").join(module)) {
        let mut text = fs::read_to_string(&path).unwrap();
        let places = places(&text, old);
        count += places.len();
        places.into_iter().rev().for_each(|place| text.replace_range(place, &planted));
        fs::write(&path, text).unwrap();
    }
    let right = if let With::Everywhere(_) = with { count > 1 } else { count == 1 };
    assert!(right, "'{name}': this is {count} times in {module}:\n{old}");
}

/// A module's own file, and those of its parts.
fn files_of(module: &Path) -> Vec<PathBuf> {
    let mut files = vec![module.with_extension("rs")];
    if let Ok(parts) = fs::read_dir(module) {
        files.extend(parts.map(|part| part.unwrap().path()));
    }
    files
}

/// Where `wanted` stands in `text`, whatever the spaces and line breaks are.
fn places(text: &str, wanted: &str) -> Vec<Range<usize>> {
    let dense = |text: &str| -> Vec<(usize, u8)> {
        text.bytes().enumerate().filter(|(_, byte)| !byte.is_ascii_whitespace()).collect()
    };
    let (text, wanted) = (dense(text), dense(wanted));
    text.windows(wanted.len())
        .filter(|window| window.iter().zip(&wanted).all(|(here, there)| here.1 == there.1))
        .map(|window| window[0].0..window[window.len() - 1].0 + 1)
        .collect()
}

/// Builds the models that the faults name; returns their programs by name.
fn build(copy: &Path, mutants: &[Mutant]) -> HashMap<&'static str, PathBuf> {
    let mut names: Vec<_> = mutants.iter().map(|mutant| mutant.model.0).collect();
    names.sort_unstable();
    names.dedup();
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.current_dir(copy).args([
        "test",
        "--release",
        "--offline",
        "--no-run",
        "--workspace",
        "--target-dir",
    ]);
    // A place of its own: in the models' own, the copy would pass for the original.
    command.arg(copy.join("target"));
    names.iter().for_each(|name| _ = command.args(["--test", name]));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the code with the faults in it does not build:\n{said}");
    // One line for each: `Executable tests/NAME.rs (PROGRAM)`.
    let program = |name: &str| {
        let line = said.lines().find(|line| line.contains(&format!("/{name}.rs ("))).unwrap();
        copy.join(line.split_once('(').unwrap().1.trim_end_matches(')'))
    };
    names.into_iter().map(|name| (name, program(name))).collect()
}

/// Runs the model with the fault; it must fail, by itself and in time.
fn is_noticed(models: &HashMap<&str, PathBuf>, number: usize, mutant: &Mutant) -> bool {
    let Mutant { name, model: (program, test), .. } = mutant;
    let output = Command::new(&models[program])
        .args(["--exact", test])
        .env(CHOICE, number.to_string())
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("running 1 test"), "'{name}': there is no model {program}::{test}");
    // A model may also end by a signal: a broken list aborts.
    let noticed = !output.status.success();
    println!("{}: {name}", if noticed { "noticed" } else { "MISSED" });
    noticed
}
