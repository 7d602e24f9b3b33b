//! Which functions a process may be started for, and how the started process runs one.
//!
//! Parent and child are the same program, so a function's full name, as the compiler tells it, means the same in both.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::exit;
use std::sync::OnceLock;

use oneloom_shm::{family, start};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::SpawnError;
use super::letter::{Answer, Asked, Letter};
use crate::pool::worker;

/// Reads an argument, runs a function with it and writes its result; or says what could not be read or written.
type Call = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, String> + Send + Sync>;

/// The functions that processes may be started for.
#[derive(Default)]
pub struct Functions {
    known: HashMap<&'static str, (TypeId, Call)>,
}

static FUNCTIONS: OnceLock<Functions> = OnceLock::new();

impl Functions {
    /// Adds a function. Anything that captures nothing will do; adding it again changes nothing.
    ///
    /// # Panics
    /// If another one has the same name, as two closures of one function have: make them functions.
    pub fn add<A, R, F>(&mut self, function: F)
    where
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
        F: Fn(A) -> R + Send + Sync + 'static,
    {
        const { assert!(size_of::<F>() == 0, "a process can't be given what a closure captures, nor a pointer") };
        let name = type_name::<F>();
        let call = move |argument: &[u8]| {
            let argument = postcard::from_bytes(argument)
                .map_err(|error| format!("its argument can't be read ({error})"))?;
            postcard::to_stdvec(&function(argument))
                .map_err(|error| format!("its result can't be written ({error})"))
        };
        let (known, _) = self.known.entry(name).or_insert((TypeId::of::<F>(), Box::new(call)));
        assert_eq!(*known, TypeId::of::<F>(), "two functions for processes are called {name}");
    }
}

/// Says which functions processes may be started for. To be called first in `main`.
///
/// In a process that [`Process::spawn`](super::Process::spawn) has started it runs the function and never returns.
///
/// # Panics
/// If it is called twice.
///
/// ```standalone_crate
/// # use oneloom::process::{self, Process};
/// fn double(number: u64) -> u64 {
///     2 * number
/// }
///
/// fn length(text: String) -> usize {
///     text.len()
/// }
///
/// fn main() {
///     process::init(|functions| {
///         functions.add(double);
///         functions.add(length);
///     });
///     // ... the program ...
/// }
/// ```
pub fn init(register: impl FnOnce(&mut Functions)) {
    let mut functions = Functions::default();
    register(&mut functions);
    assert!(FUNCTIONS.set(functions).is_ok(), "process::init is called once, first in main");
    if let Some([letter, segment]) = start::given() {
        run(&Letter::given(letter), segment);
    }
}

/// The name of a function that may be run.
pub(crate) fn registered<F: Any>(_function: &F) -> Result<&'static str, SpawnError> {
    let name = type_name::<F>();
    let functions = FUNCTIONS.get().ok_or(SpawnError::NotReady)?;
    match functions.known.get(name) {
        Some((known, _)) if *known == TypeId::of::<F>() => Ok(name),
        _ => Err(SpawnError::Unknown(name)),
    }
}

/// What came of running a function.
pub(crate) enum Ran {
    /// Its result, written.
    Returned(Vec<u8>),
    /// It panicked, with this message.
    Panicked(String),
    /// It was not run, or its result can't be written.
    Refused(String),
}

/// A call as bytes: the function's name, and its argument.
pub(crate) fn written(function: &str, argument: &impl Serialize) -> Result<Vec<u8>, SpawnError> {
    let written = |error: postcard::Error| SpawnError::Encoding(error.to_string());
    let asked = postcard::to_stdvec(function).map_err(written)?;
    postcard::to_extend(argument, asked).map_err(written)
}

/// Runs what [`written`] has written.
pub(crate) fn call(asked: &[u8]) -> Ran {
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let (name, argument) = postcard::take_from_bytes::<&str>(asked).map_err(|error| error.to_string())?;
        let (_, call) = FUNCTIONS
            .get()
            .and_then(|functions| functions.known.get(name))
            .ok_or_else(|| format!("process::init was not told of {name} here"))?;
        call(argument)
    }));
    match ended {
        Ok(Ok(result)) => Ran::Returned(result),
        Ok(Err(why)) => Ran::Refused(why),
        Err(panic) => Ran::Panicked(message(&*panic)),
    }
}

/// Does what a letter asks for, and ends this process.
fn run(letter: &Letter, segment: OwnedFd) -> ! {
    let program = std::env::args_os().next().unwrap_or_default();
    // The kernel has called it after the file's name in /proc.
    let _ = std::path::Path::new(&program)
        .file_name()
        .and_then(|name| std::ffi::CString::new(name.as_encoded_bytes()).ok())
        .map(|name| rustix::thread::set_name(&name));
    let asked = letter.take().unwrap_or_else(|error| {
        eprintln!("oneloom: {program:?} was not started by Process::spawn: {error}");
        exit(2)
    });
    let joined = family::join(segment).map_err(|error| error.to_string());
    let (answer, status) = match (joined, asked) {
        (Ok(()), Asked::Seat(seat)) => exit(worker::work(&seat)),
        (Ok(()), Asked::Call(asked)) => match call(&asked) {
            Ran::Returned(result) => (Answer::Returned(result), 0),
            Ran::Refused(why) => (Answer::Refused(why), 1),
            Ran::Panicked(message) => (Answer::Panicked(message), 101),
        },
        (Err(why), _) => (Answer::Refused(why), 1),
    };
    if let Err(error) = letter.reply(&answer) {
        eprintln!("oneloom: the result of process {} could not be handed over: {error}", std::process::id());
        exit(1);
    }
    exit(status)
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a value of its own".into())
}
