//! The faults that the loom models of waiting and of the primitives must notice: see `mutants/harness.rs`.

#![cfg(loom)]

mod mutants;

#[path = "mutants/harness.rs"]
mod harness;

#[test]
fn every_planted_fault_is_noticed_by_its_model() {
    harness::check(mutants::MUTANTS, &["oneloom-wait", "oneloom-sync"]);
}
