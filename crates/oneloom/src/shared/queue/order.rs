//! In what order items leave a shared queue.

use oneloom_shm::flow::AnyQueue;
use oneloom_shm::handle::Object;
use oneloom_shm::{priority, queue};

use crate::shared::object::Raw;

/// An order; [`Fifo`] and [`ByPriority`] are the ones there are.
pub trait Order: Sized + sealed::Sealed {
    #[doc(hidden)]
    type Raw: Raw + AnyQueue + Send + Sync + 'static;

    #[doc(hidden)]
    const KIND: &'static str;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Fifo {}
    impl Sealed for super::ByPriority {}
}

/// As items were put, by whomever.
#[derive(Debug)]
pub enum Fifo {}

/// The smallest priority first, and those of one priority as they were put.
#[derive(Debug)]
pub enum ByPriority {}

impl Order for Fifo {
    type Raw = queue::Queue;
    const KIND: &'static str = "Queue";
}

impl Order for ByPriority {
    type Raw = priority::PriorityQueue;
    const KIND: &'static str = "PriorityQueue";
}

impl Raw for queue::Queue {
    type Content = queue::Content;

    fn from_object(object: Object<Self::Content>) -> Self {
        AnyQueue::from_object(object)
    }

    fn object(&self) -> &Object<Self::Content> {
        AnyQueue::object(self)
    }
}

impl Raw for priority::PriorityQueue {
    type Content = priority::Content;

    fn from_object(object: Object<Self::Content>) -> Self {
        AnyQueue::from_object(object)
    }

    fn object(&self) -> &Object<Self::Content> {
        AnyQueue::object(self)
    }
}
