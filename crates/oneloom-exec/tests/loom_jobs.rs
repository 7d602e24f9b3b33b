//! Models of a thread pool's jobs: each is done, by as many workers as there may be and it takes, whoever sleeps, is
//! interrupted, is replaced, or never comes.

#![cfg(loom)]

use std::sync::Arc;

use loom::thread::{JoinHandle, spawn};
use oneloom_exec::threads::{Jobs, Seat, Taken, WaitCall};
use oneloom_sync::raw::{Name, RawOnce, once::DoneCall};
use oneloom_wait::atomic::{AtomicUsize, Ordering};
use oneloom_wait::clock::Deadline;
use oneloom_wait::gate::Gate;
use oneloom_wait::wait::{Primitive, block};

#[path = "../../oneloom-wait/tests/support/mod.rs"]
mod support;

use support::{Alone, check, soon};

/// A pool whose jobs are functions of it.
struct Team {
    jobs: Jobs<fn(&Team)>,
    /// How many are to be done.
    left: AtomicUsize,
    /// How many jobs a worker does before another takes its place.
    most_jobs: usize,
    /// Until when a worker sleeps the first time, before it looks again by itself.
    patience: Deadline,
    /// Told by a job.
    news: RawOnce,
    /// Told by the last one.
    done: RawOnce,
}

/// A pool of so many workers for so many jobs.
fn team(workers: usize, jobs: usize) -> Team {
    let team = Team {
        jobs: Jobs::new(workers),
        left: AtomicUsize::new(jobs),
        most_jobs: usize::MAX,
        patience: Deadline::Never,
        news: RawOnce::new(Name::NONE, "news"),
        done: RawOnce::new(Name::NONE, "the end"),
    };
    // The first to enter a gate takes the slow way; models need not look at that again and again.
    drop(Gate::enter(team.jobs.gate()));
    team
}

fn listen(once: &RawOnce) {
    block(once, &mut DoneCall::default(), Deadline::Never, &mut Alone).expect("nobody interrupts a model");
}

fn count(team: &Team) {
    if team.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        team.done.finish();
    }
}

fn tell(team: &Team) {
    team.news.finish();
    count(team);
}

fn listen_first(team: &Team) {
    listen(&team.news);
    count(team);
}

/// A worker's thread, and those of all that come after it in its place.
fn hire(team: &Arc<Team>, mut seat: Seat) -> JoinHandle<()> {
    let team = team.clone();
    spawn(move || {
        let (mut done, mut patience) = (0, team.patience);
        while done < team.most_jobs {
            match team.jobs.take(&mut seat) {
                Taken::Job(job) => {
                    job(&team);
                    done += 1;
                }
                Taken::Nothing => {
                    // It looks again either way.
                    let _ = block(&team.jobs, &mut WaitCall::default(), patience, &mut Alone);
                    patience = Deadline::Never;
                }
                Taken::End => break,
            }
        }
        if let Some(next) = team.jobs.leave(seat) {
            hire(&team, next).join().unwrap();
        }
    })
}

/// Adds a job, and a worker if one is wanted.
fn add(team: &Arc<Team>, job: fn(&Team)) -> Option<JoinHandle<()>> {
    team.jobs.add(job).ok().expect("open").map(|seat| hire(team, seat))
}

/// The seat of a worker that has no job any more.
fn seat(team: &Team) -> Seat {
    let mut seat = team.jobs.add(count).ok().expect("open").expect("room for one more");
    let Taken::Job(_) = team.jobs.take(&mut seat) else { panic!("no job") };
    seat
}

/// Lets all jobs be done, and then the workers end.
fn end(team: &Team, workers: impl IntoIterator<Item = JoinHandle<()>>) {
    listen(&team.done);
    team.jobs.close();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    assert_eq!((team.jobs.workers(), team.jobs.len()), (0, 0));
}

#[test]
fn a_job_wakes_a_worker_that_is_about_to_sleep() {
    check(3, || {
        let team = Arc::new(team(1, 1));
        let worker = hire(&team, seat(&team));
        assert!(add(&team, count).is_none(), "one is there");
        end(&team, [worker]);
    });
}

#[test]
fn jobs_that_come_at_once_are_all_done() {
    check(2, || {
        let team = Arc::new(team(1, 2));
        let worker = hire(&team, seat(&team));
        let other = {
            let team = team.clone();
            spawn(move || assert!(add(&team, count).is_none(), "one is there"))
        };
        assert!(add(&team, count).is_none(), "one is there");
        other.join().unwrap();
        end(&team, [worker]);
    });
}

#[test]
fn a_worker_is_replaced_as_long_as_there_are_jobs() {
    check(3, || {
        let team = Arc::new(Team { most_jobs: 1, ..team(1, 3) });
        let workers: Vec<_> = (0..3).filter_map(|_| add(&team, count)).collect();
        end(&team, workers);
    });
}

#[test]
fn who_sleeps_is_woken_when_the_one_awake_never_comes() {
    check(2, || {
        let team = Arc::new(team(2, 1));
        let (first, mut other) = (seat(&team), seat(&team));
        let worker = hire(&team, first);
        assert!(matches!(team.jobs.take(&mut other), Taken::Nothing));
        let gone = {
            let team = team.clone();
            spawn(move || team.jobs.give_back(other))
        };
        let third = add(&team, count);
        gone.join().unwrap();
        end(&team, third.into_iter().chain([worker]));
    });
}

#[test]
fn a_job_that_waits_for_another_is_no_hindrance() {
    check(1, || {
        let team = Arc::new(team(2, 2));
        let workers: Vec<_> =
            [listen_first as fn(&Team), tell].into_iter().filter_map(|job| add(&team, job)).collect();
        end(&team, workers);
    });
}

#[test]
fn who_takes_a_job_wakes_another_for_the_next() {
    check(2, || {
        let team = Arc::new(team(2, 2));
        let (first, mut own) = (seat(&team), seat(&team));
        assert!(matches!(team.jobs.take(&mut own), Taken::Nothing));
        let worker = hire(&team, first);
        for job in [listen_first, tell] {
            assert!(add(&team, job).is_none(), "two are there");
        }
        while let Taken::Job(job) = team.jobs.take(&mut own) {
            job(&team);
        }
        assert!(team.jobs.leave(own).is_none(), "nothing is left");
        end(&team, [worker]);
    });
}

#[test]
fn who_gives_up_waiting_leaves_no_job_behind() {
    check(3, || {
        let team = Arc::new(Team { patience: soon(), ..team(1, 1) });
        let worker = hire(&team, seat(&team));
        assert!(add(&team, count).is_none(), "one is there");
        end(&team, [worker]);
    });
}

#[test]
fn the_end_is_told_to_all_who_sleep() {
    check(2, || {
        let team = Arc::new(team(2, 0));
        let workers = [seat(&team), seat(&team)].map(|seat| hire(&team, seat));
        team.jobs.close();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}
