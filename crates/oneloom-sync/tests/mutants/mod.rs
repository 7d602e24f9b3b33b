//! The faults that the loom models must notice: for each machine, what somebody might forget there.

use crate::harness::{Mutant, With, with, without};

const GATE: &str = "oneloom-wait/src/gate";
const WAITER: &str = "oneloom-wait/src/waiter";
const WAIT: &str = "oneloom-wait/src/wait";
const INBOX: &str = "oneloom-wait/src/inbox";
const GRAPH: &str = "oneloom-wait/src/graph";
const MUTEX: &str = "oneloom-sync/src/raw/mutex";
const REENTRANT: &str = "oneloom-sync/src/raw/reentrant";
const QUEUE: &str = "oneloom-sync/src/raw/queue";
const PRIORITY: &str = "oneloom-sync/src/raw/priority";
const SEMAPHORE: &str = "oneloom-sync/src/raw/semaphore";
const EVENT: &str = "oneloom-sync/src/raw/event";
const CONDVAR: &str = "oneloom-sync/src/raw/condvar";
const BARRIER: &str = "oneloom-sync/src/raw/barrier";
const ONCE: &str = "oneloom-sync/src/raw/once";

/// Every fault, with the model that notices it.
pub const MUTANTS: &[Mutant] = &[
    with(
        "the gate is left without releasing",
        GATE,
        "word.swap(open, Ordering::Release)",
        "word.swap(open, if PLANTED { Ordering::Relaxed } else { Ordering::Release })",
        ("loom_gate", "two_threads_are_never_inside_at_once"),
    ),
    with(
        "the gate is entered without acquiring",
        GATE,
        "(open, open | LOCKED, Ordering::Acquire,",
        "(open, open | LOCKED, if PLANTED { Ordering::Relaxed } else { Ordering::Acquire },",
        ("loom_gate", "two_threads_are_never_inside_at_once"),
    ),
    with(
        "a gate that is shut lets another in",
        GATE,
        "if current && seen & LOCKED != 0 {",
        "if current && seen & LOCKED != 0 && !PLANTED {",
        ("loom_gate", "two_threads_are_never_inside_at_once"),
    ),
    with(
        "a notice does not release",
        WAITER,
        "waiter.word.swap(notice, Ordering::Release);",
        "waiter.word.swap(notice, if PLANTED { Ordering::Relaxed } else { Ordering::Release });",
        ("loom_signals", "setting_an_event_lets_everybody_go_on_who_waits"),
    ),
    with(
        "a notified thread is not woken",
        WAITER,
        "handle.wake(1, Scope::Private);",
        "if !PLANTED { handle.wake(1, Scope::Private); }",
        ("loom_waiter", "a_release_ends_a_wait"),
    ),
    without(
        "whoever gives up passes nothing on",
        WAIT,
        "call.withdraw(primitive, &mut state, notice, &mut wakes);",
        ("loom_waiter", "a_dropped_future_passes_on_what_it_had_received"),
    ),
    with(
        "one who is interrupted keeps what it was handed",
        WAIT,
        "let keep = !matches!(stop, Stop::Interrupted);",
        "let keep = PLANTED || !matches!(stop, Stop::Interrupted);",
        ("loom_signals", "a_notification_of_one_who_is_interrupted_goes_to_the_next"),
    ),
    with(
        "what is handed over in the last instant is thrown away",
        WAIT,
        "return call.granted(primitive, token);",
        "return if PLANTED { None } else { call.granted(primitive, token) };",
        ("loom_waiter", "an_expired_future_keeps_what_it_had_received"),
    ),
    with(
        "a future polled by another task keeps the first one's waker",
        WAIT,
        "            return false;
        }
        unused =",
        "            return false;
        }
        if PLANTED {
            return true;
        }
        unused =",
        ("loom_waiter", "a_future_polled_with_another_waker_is_woken_through_that_one"),
    ),
    with(
        "the bell is silenced after the tokens were taken",
        INBOX,
        "self.take(into);",
        "self.take(into);
        if PLANTED {
            let _ = rustix::io::read(&self.bell, &mut [0_u8; 8]);
        }",
        ("loom_inbox", "a_token_that_was_not_taken_has_rung_the_bell"),
    ),
    without(
        "a loop that was told once counts as told for ever",
        INBOX,
        "tokens.announced = false;",
        ("loom_inbox", "a_drained_inbox_rings_again"),
    ),
    with(
        "nobody looks for a cycle before sleeping",
        WAIT,
        "let examined = if self.deadline.is_timed() {",
        "let examined = if self.deadline.is_timed() || PLANTED {",
        ("loom_deadlock", "of_two_that_close_a_cycle_at_once_exactly_one_is_told"),
    ),
    with(
        "whoever was overtaken does not look for a cycle again",
        WAIT,
        "if let Some(end) = self.find_cycle(environment) {",
        "let found = if place == newcomer || !PLANTED { self.find_cycle(environment) } else { None };
            if let Some(end) = found {",
        ("loom_deadlock", "one_who_is_overtaken_by_one_who_then_waits_for_it_finds_the_cycle"),
    ),
    without(
        "whoever finds a cycle does not say so to the others",
        GRAPH,
        "condemn_oneself(owner);",
        ("loom_deadlock", "of_two_that_close_a_cycle_at_once_exactly_one_is_told"),
    ),
    with(
        "whoever shows a wait does not fence",
        GRAPH,
        "    fence(Ordering::SeqCst);
    published",
        "    if !PLANTED { fence(Ordering::SeqCst); }
    published",
        ("loom_deadlock", "one_who_waits_for_an_owner_that_ends_is_told_though_nobody_polls"),
    ),
    with(
        "an owner that ends does not fence",
        GRAPH,
        "    fence(Ordering::SeqCst);
    if registry.published",
        "    if !PLANTED { fence(Ordering::SeqCst); }
    if registry.published",
        ("loom_deadlock", "one_who_waits_for_an_owner_that_ends_is_told_though_nobody_polls"),
    ),
    with(
        "whoever hands over to a task does not poke its loop's thread",
        WAITER,
        "graph::poke_if_blocked(home);",
        "if !PLANTED { graph::poke_if_blocked(home); }",
        ("loom_deadlock", "a_lock_that_is_handed_to_a_task_as_its_loop_blocks_is_seen_to_close_a_cycle"),
    ),
    with(
        "only one who sleeps already can be poked",
        WAITER,
        "if self.word.compare_exchange(QUEUED, POKED, Ordering::Relaxed, Ordering::Relaxed).is_ok() {",
        "if PLANTED || self.word.compare_exchange(QUEUED, POKED, Ordering::Relaxed, Ordering::Relaxed).is_ok() {",
        ("loom_deadlock", "one_who_waits_for_an_owner_that_ends_is_told_though_nobody_polls"),
    ),
    Mutant {
        name: "a walk takes a timed wait for one without end",
        module: GRAPH,
        old: "if step.flags & flag::TIMED != 0 {",
        with: With::Everywhere("if step.flags & flag::TIMED != 0 && !PLANTED {"),
        model: ("loom_deadlock", "a_cycle_with_a_timed_wait_ends_by_itself"),
    },
    with(
        "whoever joins the mutex's line does not say so",
        MUTEX,
        "else { state | PARKED };",
        "else { state | if PLANTED { 0 } else { PARKED } };",
        ("loom_mutex", "three_threads_lock_one_after_the_other"),
    ),
    with(
        "the mutex is released without releasing",
        MUTEX,
        "compare_exchange(state, 0, Ordering::Release,",
        "compare_exchange(state, 0, if PLANTED { Ordering::Relaxed } else { Ordering::Release },",
        ("loom_mutex", "three_threads_lock_one_after_the_other"),
    ),
    with(
        "whoever is faster than the line forgets it",
        MUTEX,
        "let taken = hold | state & PARKED;",
        "let taken = hold | if PLANTED { 0 } else { state & PARKED };",
        ("loom_mutex", "one_who_is_faster_than_those_in_line_leaves_them_in_line"),
    ),
    without(
        "a mutex that was handed over and is not wanted stays locked",
        MUTEX,
        "mutex.take_back(self.owner);",
        ("loom_mutex", "a_dropped_future_passes_the_lock_on"),
    ),
    with(
        "a mutex that was offered and is not wanted is offered to nobody else",
        MUTEX,
        "            line.waiters.wake_first(wakes);",
        "            if !PLANTED { line.waiters.wake_first(wakes); }",
        ("loom_mutex", "a_dropped_future_passes_the_lock_on"),
    ),
    with(
        "a late release ends whatever hold it finds",
        MUTEX,
        "if state & SCOPED != 0 && state & !PARKED != hold {",
        "if state & SCOPED != 0 && state & !PARKED != hold && !PLANTED {",
        ("loom_mutex", "of_two_releases_of_one_hold_only_one_succeeds_and_no_scope_is_broken"),
    ),
    with(
        "a reentrant mutex is free one release too late",
        REENTRANT,
        "if count > 1 {",
        "if count > u64::from(!PLANTED) {",
        ("loom_mutex", "a_reentrant_mutex_is_free_after_the_last_release_only"),
    ),
    with(
        "a get offers its place to nobody",
        QUEUE,
        "if self.maxsize != 0 && !self.putters.waiters.is_empty() && self.has_place() {",
        "if self.maxsize != 0 && !self.putters.waiters.is_empty() && self.has_place() && !PLANTED {",
        ("loom_queue", "two_putters_share_one_place_and_lose_nothing"),
    ),
    with(
        "who waits for an item leaves the intake open",
        QUEUE,
        "        queue.shut_intake(state);
        let output = get(state, wakes);",
        "        if !PLANTED { queue.shut_intake(state); }
        let output = get(state, wakes);",
        ("loom_queue", "an_item_ends_a_get_and_brings_what_was_done_before_it"),
    ),
    with(
        "a put passes by what is in the intake",
        QUEUE,
        "        if crowded {
            queue.shut_intake(&mut state);",
        "        if crowded && !PLANTED {
            queue.shut_intake(&mut state);",
        ("loom_queue", "a_full_queue_refuses_a_put"),
    ),
    with(
        "the intake is opened while somebody waits",
        QUEUE,
        "|| somebody_waits ||",
        "|| (somebody_waits && !PLANTED) ||",
        ("loom_queue", "an_item_that_comes_as_a_get_times_out_is_taken_or_goes_to_the_next"),
    ),
    without(
        "who takes over a batch does not say how many items there are now",
        QUEUE,
        "in_store.store(store.len(), Ordering::Relaxed);",
        ("loom_queue", "a_bounded_queue_never_takes_more_than_there_are_places"),
    ),
    with(
        "the last task is done while there are more in the intake",
        QUEUE,
        "if state.unfinished <= 1 {",
        "if state.unfinished <= 1 && !PLANTED {",
        ("loom_queue", "join_waits_for_what_was_put_meanwhile"),
    ),
    with(
        "a put offers its item to nobody",
        QUEUE,
        "        self.store.push(item);
        self.offer_item(wakes);",
        "        self.store.push(item);
        if !PLANTED { self.offer_item(wakes); }",
        ("loom_queue", "an_item_ends_a_get_and_brings_what_was_done_before_it"),
    ),
    with(
        "a get that gives up offers its item to nobody",
        QUEUE,
        "if notice != Notice::Waiting && state.has_item()",
        "if notice != Notice::Waiting && state.has_item() && !PLANTED",
        ("loom_queue", "the_item_of_a_dropped_get_goes_to_the_next"),
    ),
    with(
        "a get that gives up leaves its item promised",
        QUEUE,
        "        state.getters.count_withdrawal();
        if let Notice::Granted(_) = notice {",
        "        state.getters.count_withdrawal();
        if let Notice::Granted(_) = notice && !PLANTED {",
        ("loom_queue", "the_item_of_a_dropped_get_goes_to_the_next"),
    ),
    without(
        "an item that was claimed is promised to nobody",
        QUEUE,
        "state.promised_items += 1;",
        ("loom_queue", "a_claimed_item_is_there_for_who_was_promised_it"),
    ),
    with(
        "a put that gives up offers its place to nobody",
        QUEUE,
        "if notice != Notice::Waiting && state.has_place()",
        "if notice != Notice::Waiting && state.has_place() && !PLANTED",
        ("loom_queue", "the_place_of_a_dropped_put_goes_to_the_next_and_its_item_stays_out"),
    ),
    with(
        "shutting down forgets who waits to put",
        QUEUE,
        "state.putters.waiters.wake_all(wakes);
        left",
        "if !PLANTED { state.putters.waiters.wake_all(wakes); }
        left",
        ("loom_queue", "shutting_down_a_full_queue_refuses_who_waits_to_put"),
    ),
    without(
        "the last task that is done tells nobody",
        QUEUE,
        "state.joiners.waiters.grant_all(0, &mut wakes);",
        ("loom_queue", "join_ends_when_the_last_item_is_done"),
    ),
    with(
        "a reserved place is given back to nobody",
        QUEUE,
        "        state.promised_places = state.promised_places.saturating_sub(1);
        if state.has_place() {",
        "        state.promised_places = state.promised_places.saturating_sub(1);
        if state.has_place() && !PLANTED {",
        ("loom_queue", "a_reserved_place_is_filled_or_given_back_to_the_next"),
    ),
    with(
        "a token that is put back is offered to nobody",
        QUEUE,
        "self.enter_alone().insert(item, wakes);",
        "if PLANTED { self.enter_alone().store.push(item) } else { self.enter_alone().insert(item, wakes) }",
        ("loom_priority", "a_token_that_is_put_back_goes_to_the_next"),
    ),
    without(
        "the right to sort is not passed on",
        PRIORITY,
        "let _ = self.queue.order.release(|| self.owner);",
        ("loom_priority", "items_put_by_two_come_out_least_first"),
    ),
    with(
        "a permit that was offered and is not wanted is offered to nobody else",
        SEMAPHORE,
        "notice == Notice::Woken && semaphore.value() > 0",
        "notice == Notice::Woken && semaphore.value() > 0 && !PLANTED",
        ("loom_semaphore", "a_dropped_future_passes_its_permit_on"),
    ),
    with(
        "a permit that is handed over is also put back",
        SEMAPHORE,
        "self.total(state, permits)? - handed as u64",
        "self.total(state, permits)? - if PLANTED { 0 } else { handed as u64 }",
        ("loom_semaphore", "several_permits_at_once_let_several_go_on"),
    ),
    with(
        "a release forgets those it has nothing for",
        SEMAPHORE,
        "if line.waiters.iter().nth(reach).is_some() {",
        "if line.waiters.iter().nth(reach).is_some() && !PLANTED {",
        ("loom_semaphore", "one_permit_lets_one_in_at_a_time"),
    ),
    with(
        "setting an event lets one go on",
        EVENT,
        "while line.grant_first(0, &mut wakes) {}",
        "while line.grant_first(0, &mut wakes) && !PLANTED {}",
        ("loom_signals", "setting_an_event_lets_everybody_go_on_who_waits"),
    ),
    with(
        "setting an event only lets them look again",
        EVENT,
        "self.state.swap(SET, Ordering::Release);",
        "self.state.swap(SET, Ordering::Release);
        while PLANTED && line.waiters.wake_first(&mut wakes) {}",
        ("loom_signals", "whoever_waits_when_an_event_is_set_goes_on_even_if_it_is_cleared_at_once"),
    ),
    with(
        "setting an event that is set does not release",
        EVENT,
        "            match self.state.compare_exchange_weak(state, SET, Ordering::Release,",
        "            if state & SET != 0 && PLANTED {
                return;
            }
            match self.state.compare_exchange_weak(state, SET, Ordering::Release,",
        ("loom_signals", "clearing_an_event_shows_the_work_of_every_setting_it_wipes_out"),
    ),
    with(
        "clearing an event does not acquire",
        EVENT,
        "self.state.fetch_and(!SET, Ordering::AcqRel);",
        "self.state.fetch_and(!SET, if PLANTED { Ordering::Release } else { Ordering::AcqRel });",
        ("loom_signals", "clearing_an_event_shows_the_work_of_every_setting_it_wipes_out"),
    ),
    with(
        "a notification of one who gives up is lost",
        CONDVAR,
        "            line.grant_first(0, wakes);",
        "            if !PLANTED { line.grant_first(0, wakes); }",
        ("loom_signals", "a_notification_of_one_who_gives_up_goes_to_the_next"),
    ),
    with(
        "a party that gives up breaks nothing",
        BARRIER,
        "if !self.breaks {",
        "if !self.breaks || PLANTED {",
        ("loom_signals", "a_party_that_gives_up_breaks_the_barrier_for_all_or_passed_with_them"),
    ),
    with(
        "an aborted barrier turns one away",
        BARRIER,
        "while self.arrived.grant_first(BROKEN, wakes) {}",
        "while self.arrived.grant_first(BROKEN, wakes) && !PLANTED {}",
        ("loom_signals", "an_aborted_barrier_turns_everybody_away"),
    ),
    with(
        "what happens once may be begun by two",
        ONCE,
        "        self.claims.fetch_or(BEGUN, Ordering::Relaxed) & BEGUN == 0
    }",
        "        if PLANTED {
            let claims = self.claims.load(Ordering::Relaxed);
            self.claims.store(claims | BEGUN, Ordering::Relaxed);
            return claims & BEGUN == 0;
        }
        self.claims.fetch_or(BEGUN, Ordering::Relaxed) & BEGUN == 0
    }",
        ("loom_signals", "what_happens_once_is_begun_and_taken_once_and_seen_by_all"),
    ),
];
