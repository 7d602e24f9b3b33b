//! Starting functions in processes: arguments and results, ends of all kinds, and what is left behind.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use oneloom::process::{Functions, JoinError, Process, SpawnError};
use oneloom::shared::Queue;
use oneloom_shm::{arena, family};

use crate::harness::{descriptors, eventually, tests};

tests![
    a_function_s_result_comes_back,
    large_arguments_and_results_come_whole,
    a_result_can_be_had_again_and_in_every_way,
    a_result_of_the_function_s_own_is_a_value,
    a_child_starts_children,
    a_panic_is_told_with_its_message,
    an_exit_is_told_with_its_status,
    a_killed_child_is_told_with_its_signal,
    a_terminated_child_may_end_in_its_own_way,
    signals_to_a_child_that_has_ended_do_nothing,
    an_argument_that_can_not_be_read_is_told,
    a_function_that_init_was_not_told_of_is_refused,
    a_main_without_init_starts_nothing,
    a_main_that_ends_before_init_is_told,
    a_child_blocks_no_signals_and_has_only_the_descriptors_it_needs,
    nothing_is_left_behind_by_children_that_ended,
    a_dropped_child_goes_on_and_leaves_no_zombie,
    what_was_private_is_so_after_a_start,
    a_foreign_file_in_the_place_of_a_process_s_is_left_alone,
];

/// Set in the environment, these make this program's `main` do something else.
pub const WITHOUT_INIT: &str = "ONELOOM_TEST_WITHOUT_INIT";
pub const INIT_TOO_LATE: &str = "ONELOOM_TEST_INIT_TOO_LATE";

pub fn register(functions: &mut Functions) {
    functions.add(double);
    functions.add(reverse);
    functions.add(parse);
    functions.add(grandchild);
    functions.add(complain);
    functions.add(leave);
    functions.add(rest);
    functions.add(decode);
    functions.add(surroundings);
    functions.add(touch);
}

fn double(number: u64) -> u64 {
    2 * number
}

fn reverse(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.reverse();
    bytes
}

fn parse(text: String) -> Result<i32, String> {
    text.parse().map_err(|error: std::num::ParseIntError| error.to_string())
}

fn grandchild(number: u64) -> Result<u64, String> {
    let child = Process::spawn(double, number).map_err(|error| error.to_string())?;
    child.join().map_err(|error| error.to_string())
}

fn complain(name: String) {
    panic!("{name} is missing");
}

fn leave(status: i32) {
    std::process::exit(status);
}

fn rest(_: ()) {
    loop {
        std::thread::park();
    }
}

/// Reading it fails, in the child.
#[derive(serde::Serialize)]
struct Unreadable(u8);

impl<'de> serde::Deserialize<'de> for Unreadable {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("nobody can"))
    }
}

fn decode(_: Unreadable) {}

/// The signals that are blocked, and the descriptors that are open.
fn surroundings(_: ()) -> (String, Vec<PathBuf>) {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("a /proc");
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("a mask").trim();
    let open = std::fs::read_dir("/proc/self/fd").expect("a /proc");
    // The folder's own descriptor is gone when it is looked at.
    let open = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    (blocked.to_owned(), open.collect())
}

fn touch(path: PathBuf) {
    std::fs::write(path, "").expect("a place to write");
}

fn a_function_s_result_comes_back() {
    let child = Process::spawn(double, 21).expect("a process");
    assert_ne!(child.id(), std::process::id());
    assert_eq!(child.join(), Ok(42));
}

fn large_arguments_and_results_come_whole() {
    let bytes: Vec<u8> = (0..300_000_u32).map(|number| (number / 3) as u8).collect();
    let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
    assert!(Process::spawn(reverse, bytes).expect("a process").join() == Ok(reversed));
}

fn a_result_can_be_had_again_and_in_every_way() {
    let child = Process::spawn(double, 4).expect("a process");
    assert_eq!(pollster::block_on(child.join_async()), Ok(8));
    assert_eq!(child.try_join(), Some(Ok(8)));
    assert_eq!(child.join_timeout(Duration::ZERO), Some(Ok(8)));
    assert_eq!(child.join(), Ok(8));
    assert!(!child.is_alive());
    let child = Process::spawn(rest, ()).expect("a process");
    assert!(child.is_alive());
    assert_eq!(child.try_join(), None);
    assert_eq!(child.join_timeout(Duration::from_millis(1)), None);
    std::thread::scope(|scope| {
        let waiters = [(); 3].map(|()| scope.spawn(|| child.join()));
        child.kill().expect("a living child");
        for waiter in waiters {
            assert!(matches!(waiter.join().expect("a waiter"), Err(JoinError::Died(_))));
        }
    });
}

fn a_result_of_the_function_s_own_is_a_value() {
    let parsed = |text: &str| Process::spawn(parse, text.to_owned()).expect("a process").join();
    assert_eq!(parsed("17"), Ok(Ok(17)));
    assert!(matches!(parsed("seven"), Ok(Err(_))));
}

fn a_child_starts_children() {
    assert_eq!(Process::spawn(grandchild, 50).expect("a process").join(), Ok(Ok(100)));
}

fn a_panic_is_told_with_its_message() {
    let error = Process::spawn(complain, "Ada".to_owned()).expect("a process").join();
    assert_eq!(error, Err(JoinError::Panicked("Ada is missing".into())));
}

fn an_exit_is_told_with_its_status() {
    let error = Process::spawn(leave, 3).expect("a process").join().expect_err("no result");
    assert!(matches!(error, JoinError::Died(status) if status.code() == Some(3)), "{error}");
    assert!(error.to_string().contains("exit status: 3"), "{error}");
}

fn a_killed_child_is_told_with_its_signal() {
    let child = Process::spawn(rest, ()).expect("a process");
    child.kill().expect("a living child");
    let error = child.join().expect_err("no result");
    assert!(error.to_string().contains("signal: 9 (SIGKILL)"), "{error}");
    assert!(error.to_string().contains("out of memory"), "{error}");
}

fn a_terminated_child_may_end_in_its_own_way() {
    let child = Process::spawn(rest, ()).expect("a process");
    child.terminate().expect("a living child");
    let error = child.join().expect_err("no result");
    let JoinError::Died(status) = error else { panic!("{error}") };
    assert_eq!(status.signal(), Some(15));
}

fn signals_to_a_child_that_has_ended_do_nothing() {
    let child = Process::spawn(double, 1).expect("a process");
    assert_eq!(child.join(), Ok(2));
    child.terminate().expect("nothing to do");
    child.kill().expect("nothing to do");
    assert_eq!(child.join(), Ok(2));
}

fn an_argument_that_can_not_be_read_is_told() {
    let error = Process::spawn(decode, Unreadable(1)).expect("a process").join().expect_err("no result");
    assert!(matches!(&error, JoinError::Refused(why) if why.contains("argument")), "{error}");
}

fn a_function_that_init_was_not_told_of_is_refused() {
    fn unheard_of(_: ()) {}
    let error = Process::spawn(unheard_of, ()).expect_err("no process");
    assert!(matches!(error, SpawnError::Unknown(name) if name.ends_with("unheard_of")), "{error}");
}

/// What this program does without `init`, in the test below.
pub fn without_init() -> ExitCode {
    match Process::spawn(double, 1) {
        Err(error @ SpawnError::NotReady) => {
            println!("{error}");
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}

fn this_program(variable: &str) -> std::process::Output {
    Command::new("/proc/self/exe").env(variable, "1").output().expect("a run")
}

fn a_main_without_init_starts_nothing() {
    let done = this_program(WITHOUT_INIT);
    assert!(done.status.success(), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stdout).contains("process::init first in main"), "{done:?}");
}

/// What this program does if it looks at its arguments before `init`, in the test below.
pub fn init_too_late() -> ExitCode {
    if std::env::args().len() > 1 {
        return ExitCode::from(2);
    }
    oneloom::process::init(register);
    let error = Process::spawn(double, 1).expect("a process").join().expect_err("no result");
    println!("{error}");
    ExitCode::from(u8::from(!matches!(error, JoinError::NotRun(status) if status.code() == Some(2))))
}

fn a_main_that_ends_before_init_is_told() {
    let done = this_program(INIT_TOO_LATE);
    assert!(done.status.success(), "{done:?}");
    let told = String::from_utf8_lossy(&done.stdout);
    assert!(told.contains("exit status: 2") && told.contains("must stand first in main"), "{told}");
}

fn a_child_blocks_no_signals_and_has_only_the_descriptors_it_needs() {
    let (blocked, open) = Process::spawn(surroundings, ()).expect("a process").join().expect("a result");
    assert_eq!(blocked, "0000000000000000");
    let ours: Vec<_> =
        open.iter().filter(|path| path.to_string_lossy().starts_with("/memfd:oneloom")).collect();
    assert_eq!(ours.len(), 2, "what it is asked by and the family's memory: {ours:?}");
}

fn nothing_is_left_behind_by_children_that_ended() {
    let _family = oneloom::shared::Event::new().expect("an event");
    let before = descriptors();
    for number in 0..10 {
        assert_eq!(Process::spawn(double, number).expect("a process").join(), Ok(2 * number));
    }
    // Fewer, where those of an earlier child were still being closed.
    eventually("the descriptors are closed", || descriptors() <= before);
    eventually("no child is left", || children().is_empty());
}

fn a_dropped_child_goes_on_and_leaves_no_zombie() {
    let place = std::env::temp_dir().join(format!("oneloom-{}", std::process::id()));
    drop(Process::spawn(touch, place.clone()).expect("a process"));
    eventually("the child has done its work", || place.exists());
    std::fs::remove_file(&place).expect("its file");
    eventually("no child is left", || children().is_empty());
}

fn what_was_private_is_so_after_a_start() {
    let used = || arena::usage(family::home().expect("a family")).1;
    let before = used();
    let queue = Queue::<u64>::new().expect("a queue");
    assert!(used() > before);
    assert_eq!(Process::spawn(double, 1).expect("a process").join(), Ok(2));
    drop(queue);
    eventually("what it had is used again", || used() <= before);
}

fn a_foreign_file_in_the_place_of_a_process_s_is_left_alone() {
    let place = std::env::temp_dir().join(format!("oneloom-foreign-{}", std::process::id()));
    let words = "what somebody else has written";
    std::fs::write(&place, words).expect("a file");
    let script = r#"exec 8<>"$1" 9<>"$1" && exec "$0" --oneloom-process 8 9"#;
    let program = std::env::current_exe().expect("a name");
    let done = Command::new("sh").args(["-c", script]).arg(program).arg(&place).output().expect("a run");
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stderr).contains("was not started by Process::spawn"), "{done:?}");
    assert_eq!(std::fs::read_to_string(&place).expect("the file"), words);
    std::fs::remove_file(&place).expect("the file");
}

/// This process's children, zombies included.
fn children() -> String {
    let tasks = std::fs::read_dir("/proc/self/task").expect("a /proc");
    let of =
        |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
    tasks.filter_map(|task| task.ok().map(of)).collect()
}
