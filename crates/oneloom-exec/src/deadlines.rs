//! An [`Alarm`]: a thread that sees to deadlines in their order, but for those that were taken back.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use oneloom_wait::atomic::Ordering;
use oneloom_wait::background;
use oneloom_wait::clock::Deadline;
use oneloom_wait::gate::{AfterFork, Gate};
use oneloom_wait::word::{Scope, Word};

/// Things that are due at some time.
struct Deadlines<T> {
    due: BTreeMap<Ticket, T>,
    /// How many there ever were: of two that are due at the same instant, the older goes first.
    added: u64,
}

/// What takes a deadline back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    at: Instant,
    number: u64,
}

impl<T> Deadlines<T> {
    /// None yet.
    const fn new() -> Self {
        Self { due: BTreeMap::new(), added: 0 }
    }

    /// From now on `thing` is due at `at`.
    fn add(&mut self, at: Instant, thing: T) -> Ticket {
        self.added += 1;
        let ticket = Ticket { at, number: self.added };
        self.due.insert(ticket, thing);
        ticket
    }

    /// Takes a deadline back; `None` if it was taken already.
    fn remove(&mut self, ticket: Ticket) -> Option<T> {
        self.due.remove(&ticket)
    }

    /// When the next one is due.
    fn next(&self) -> Option<Instant> {
        self.due.first_key_value().map(|(ticket, _)| ticket.at)
    }

    /// Takes one that is due at `now`, the earliest first.
    fn take_due(&mut self, now: Instant) -> Option<T> {
        self.due.first_entry().filter(|first| first.key().at <= now).map(|first| first.remove())
    }
}

/// What is to happen when its time has come.
pub trait Due: Send + 'static {
    /// Called once, on the alarm's thread, outside its gate; others wait until it returns.
    fn due(self);
}

/// Deadlines with a thread of their own: made for the first of them, gone when there have been none for a while.
pub struct Alarm<T> {
    set: Gate<Set<T>>,
    /// Changes whenever the thread has to look again.
    changes: Word,
}

struct Set<T> {
    deadlines: Deadlines<T>,
    /// Whether there is a thread.
    is_watched: bool,
}

impl<T> AfterFork for Set<T> {
    fn after_fork(&mut self, _torn: bool) {
        // The parent's deadlines are the parent's affair, and dropping them would run foreign code.
        std::mem::forget(std::mem::replace(&mut self.deadlines, Deadlines::new()));
        self.is_watched = false;
    }
}

/// For how long the thread stays when there is nothing to see to.
const LINGER: Duration = Duration::from_secs(1);

impl<T: Due> Alarm<T> {
    /// No deadlines, and no thread.
    pub const fn new() -> Self {
        let set = Set { deadlines: Deadlines::new(), is_watched: false };
        Self { set: Gate::new(set), changes: Word::new(0) }
    }

    /// Has `thing` happen at `at`.
    ///
    /// # Errors
    /// When the system has no thread left; then it never happens.
    pub fn add(&'static self, at: Instant, thing: T) -> io::Result<Ticket> {
        let (ticket, is_next, was_watched) = {
            let mut set = self.set.enter();
            let is_next = set.deadlines.next().is_none_or(|next| at < next);
            (set.deadlines.add(at, thing), is_next, std::mem::replace(&mut set.is_watched, true))
        };
        if !was_watched {
            let started = background::spawn("oneloom-alarm", || self.watch());
            if let Err(error) = started {
                self.set.enter().is_watched = false;
                drop(self.remove(ticket));
                return Err(error);
            }
        } else if is_next {
            self.changes.fetch_add(1, Ordering::Relaxed);
            self.changes.handle().wake(1, Scope::Private);
        }
        Ok(ticket)
    }

    /// Takes a deadline back; `None` if its time had come.
    pub fn remove(&self, ticket: Ticket) -> Option<T> {
        self.set.enter().deadlines.remove(ticket)
    }

    fn watch(&self) {
        let mut empty_since = None;
        loop {
            let seen = self.changes.load(Ordering::Relaxed);
            let now = Instant::now();
            let next = {
                let mut set = self.set.enter();
                if let Some(thing) = set.deadlines.take_due(now) {
                    drop(set);
                    thing.due();
                    continue;
                }
                let next = set.deadlines.next();
                let gone = next.is_none() && empty_since.is_some_and(|since| now >= since + LINGER);
                if gone {
                    set.is_watched = false;
                    return;
                }
                next
            };
            let until = next.unwrap_or_else(|| *empty_since.get_or_insert(now) + LINGER);
            if next.is_some() {
                empty_since = None;
            }
            self.changes.wait(seen, Deadline::At(until), Scope::Private);
        }
    }
}

impl<T: Due> Default for Alarm<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use oneloom_sync::Queue;

    use super::{Alarm, Deadlines, Due};

    #[test]
    fn what_is_due_comes_in_the_order_of_its_deadlines() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut deadlines = Deadlines::new();
        deadlines.add(later, "third");
        deadlines.add(now, "first");
        deadlines.add(now, "second");
        assert_eq!(deadlines.next(), Some(now));
        assert_eq!([deadlines.take_due(now), deadlines.take_due(now)], [Some("first"), Some("second")]);
        assert_eq!(deadlines.take_due(now), None, "it is not due yet");
        assert_eq!(deadlines.take_due(later), Some("third"));
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn what_was_taken_back_is_never_due() {
        let now = Instant::now();
        let mut deadlines = Deadlines::new();
        let ticket = deadlines.add(now, "kept in time");
        assert_eq!(deadlines.remove(ticket), Some("kept in time"));
        assert_eq!(deadlines.remove(ticket), None);
        assert_eq!((deadlines.take_due(now), deadlines.next()), (None, None));
    }

    struct Note(Arc<Queue<u32>>, u32);

    impl Due for Note {
        fn due(self) {
            self.0.put(self.1).expect("open");
        }
    }

    #[test]
    fn an_alarm_goes_off_for_what_was_not_taken_back() {
        static ALARM: Alarm<Note> = Alarm::new();
        let notes = Arc::new(Queue::new());
        let now = Instant::now();
        let late = now + Duration::from_millis(20);
        ALARM.add(late, Note(notes.clone(), 2)).expect("a thread");
        let ticket = ALARM.add(now + Duration::from_millis(10), Note(notes.clone(), 0)).expect("a thread");
        ALARM.add(now, Note(notes.clone(), 1)).expect("a thread");
        assert!(ALARM.remove(ticket).is_some());
        assert_eq!([notes.get(), notes.get()], [Ok(1), Ok(2)]);
        assert!(Instant::now() >= late);
        assert!(ALARM.remove(ticket).is_none());
    }
}
