//! Models of an event loop's inbox: a token is taken by the drain under way, or the bell says that it is there.

#![cfg(loom)]

mod support;

use std::sync::Arc;

use loom::thread;
use oneloom_wait::inbox::Inbox;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

fn bell_rings(inbox: &Inbox) -> bool {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::from_borrowed_fd(inbox.bell(), PollFlags::IN)], Some(&at_once)).unwrap() == 1
}

#[test]
fn a_token_that_was_not_taken_has_rung_the_bell() {
    support::check(3, || {
        let inbox = Arc::new(Inbox::new().unwrap());
        let producers = [1, 2].map(|token| {
            let inbox = inbox.clone();
            thread::spawn(move || inbox.deliver(token))
        });
        let mut tokens = Vec::new();
        inbox.answer(&mut tokens);
        producers.into_iter().for_each(|thread| thread.join().unwrap());
        if bell_rings(&inbox) {
            inbox.answer(&mut tokens);
        }
        tokens.sort_unstable();
        assert_eq!(tokens, [1, 2]);
    });
}

#[test]
fn a_drained_inbox_rings_again() {
    support::check(3, || {
        let inbox = Arc::new(Inbox::new().unwrap());
        let mut tokens = Vec::new();
        inbox.deliver(1);
        inbox.answer(&mut tokens);
        let producer = thread::spawn({
            let inbox = inbox.clone();
            move || inbox.deliver(2)
        });
        producer.join().unwrap();
        assert!(bell_rings(&inbox));
        inbox.answer(&mut tokens);
        assert_eq!(tokens, [1, 2]);
    });
}
