//! Waiting for mail, and what it is.

use std::sync::Arc;

use oneloom_shm::error::Error;
use oneloom_shm::event_count::EventCount;
use oneloom_shm::flow::AnyQueue;
use oneloom_shm::member::Tag;
use oneloom_shm::payload::Item;
use oneloom_shm::queue::{GetManyCall, Part, Queue};
use oneloom_shm::segment::Segment;
use oneloom_shm::wait::Call;

use crate::message::Head;
use crate::packet::Packet;

/// Waiting until there is mail, or `done`; takes none.
pub struct Awaited<'a> {
    pub mailbox: &'a Queue,
    pub done: &'a dyn Fn() -> bool,
}

impl Call for Awaited<'_> {
    type Output = ();

    fn segment(&self) -> &'static Segment {
        self.mailbox.segment()
    }

    fn event(&self) -> &'static EventCount {
        &self.mailbox.flow().not_empty
    }

    fn looks_ready(&self) -> bool {
        (self.done)() || self.mailbox.is_empty().is_ok_and(|empty| !empty)
    }

    fn attempt(&mut self, _me: Tag, _thorough: bool) -> Result<Option<()>, Error> {
        Ok(((self.done)() || !self.mailbox.is_empty()?).then_some(()))
    }
}

/// Takes what mail there is. What is no message is dropped: nobody could say for whom it is.
pub fn take(mailbox: &Arc<Queue>) -> Result<Vec<(Head, Packet)>, Error> {
    let mut call = GetManyCall { queue: mailbox.clone(), most: u64::MAX };
    let Some(Ok(mut batch)) = call.attempt(mailbox.segment().me()?, true)? else { return Ok(Vec::new()) };
    let opened = |part: Part<'_>| match part {
        Part::Small { bytes, mark } => Head::of(bytes).map(|head| (head, Packet::small(bytes, mark))),
        Part::Large(payload) => Packet::open(Item::Large(payload)).ok(),
    };
    Ok(batch.parts().filter_map(opened).collect())
}
