//! What the wait graph shows of a task's waits.

use std::sync::Arc;

use oneloom_sync::raw::{LockCall, RawMutex};
use oneloom_wait::graph;
use oneloom_wait::owner::{Kind, registry};

use crate::harness::{Polled, me};

#[test]
fn two_waits_of_one_task_may_end_in_any_order() {
    let task = registry().take(Kind::Task, me(), 1);
    let mutexes = [(); 2].map(|()| Arc::new(RawMutex::default()));
    for older_first in [false, true] {
        assert!(mutexes.iter().all(|mutex| mutex.try_lock(me(), true)));
        let call = || LockCall { owner: task, scoped: true };
        let older = Polled::waiting(&mutexes[0], call());
        let newer = Polled::waiting(&mutexes[1], call());
        let shown = graph::wait_of(task).map(|step| step.resource);
        assert_eq!(shown, Some(Arc::as_ptr(&mutexes[1]) as u64));
        if older_first {
            drop(older);
            assert!(graph::wait_of(task).is_some());
            drop(newer);
        } else {
            drop(newer);
            drop(older);
        }
        // A wait that is still shown here would be one that is gone.
        assert_eq!(graph::wait_of(task), None);
        assert!(mutexes.iter().all(|mutex| mutex.release(me).is_ok()));
    }
    registry().retire(task);
}
