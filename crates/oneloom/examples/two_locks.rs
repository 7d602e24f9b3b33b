//! Two threads take two locks in opposite order. With most locks this program would hang for ever.
//!
//! Here one of the threads panics with a report, which it catches as a program with a supervisor would, lets go of what
//! it holds, and tries again; the other never notices.
//!
//! `cargo run --release -p oneloom --example two_locks`

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use oneloom::Mutex;

struct Account {
    owner: &'static str,
    balance: Mutex<i64>,
}

impl Account {
    fn new(owner: &'static str) -> Self {
        Self { owner, balance: Mutex::with_name(&format!("{owner}'s account"), 100) }
    }
}

/// Moves money, and makes the worst of it: each thread takes its first lock before anybody takes a second.
fn transfer(from: &Account, to: &Account, amount: i64, both_hold_one: Option<&Barrier>) {
    let mut source = from.balance.lock();
    if let Some(barrier) = both_hold_one {
        barrier.wait();
    }
    let mut target = to.balance.lock();
    *source -= amount;
    *target += amount;
    println!("{} has paid {amount} to {}", from.owner, to.owner);
}

/// Transfers, and once more if that ends in a deadlock.
fn transfer_for_sure(from: &Account, to: &Account, amount: i64, both_hold_one: &Barrier) {
    let attempt = || transfer(from, to, amount, Some(both_hold_one));
    let Err(panic) = catch_unwind(AssertUnwindSafe(attempt)) else { return };
    let report = panic.downcast::<String>().expect("the report of a deadlock");
    println!("\n{}'s thread was told:\n\n{report}\n", from.owner);
    println!("{}'s lock is free again, so it tries once more:", from.owner);
    transfer(from, to, amount, None);
}

fn main() {
    // The report is printed above, where it is caught.
    std::panic::set_hook(Box::new(|_| {}));

    let (ann, bob) = (Account::new("Ann"), Account::new("Bob"));
    let both_hold_one = Barrier::new(2);
    let started = Instant::now();
    thread::scope(|scope| {
        let (ann, bob, both_hold_one) = (&ann, &bob, &both_hold_one);
        let named = |name: &str| thread::Builder::new().name(name.into());
        let ann_pays = move || transfer_for_sure(ann, bob, 30, both_hold_one);
        let bob_pays = move || transfer_for_sure(bob, ann, 50, both_hold_one);
        named("Ann").spawn_scoped(scope, ann_pays).expect("a thread");
        named("Bob").spawn_scoped(scope, bob_pays).expect("a thread");
    });
    let balances = (ann.balance.into_inner(), bob.balance.into_inner());
    println!("\nAnn has {}, Bob has {}, after {:?}.", balances.0, balances.1, started.elapsed());
    assert_eq!(balances, (120, 80));
}
