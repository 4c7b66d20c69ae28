//! Compares two builds: in turns on this machine, or this build with a file of an earlier run.
//!
//! Each build is a process that stays, so that neither is started, compiled or warmed up while it is timed. Turns go A
//! B, B A, A B, …: so drifts affect both alike, and neither always follows the other. After some turns, a round, all
//! buffers are made anew: where memory lies makes even two processes of one program differ, and that way it changes. A
//! round's ratio is that of the quickest tenth of each build's runs, since other load only ever adds time. A row's
//! ratio is the median of its rounds' ratios.

mod compared;
mod protocol;
mod server;
mod worker;

use compared::Compared;
pub(crate) use compared::{Comparison, baseline, read};
pub(crate) use server::serve;

use super::args::Args;
use super::meta::Meta;
use super::record::Adapter;
use super::stats::{ROUNDS, Rounds, TURNS, Verdict, goes_on};
use crate::failure::Failure;
use protocol::{Case, Reply, Request};
use std::path::Path;
use worker::Worker;

/// A turn takes this share of a row's least time.
const TURN: f64 = 0.05;

/// Both builds.
struct Builds {
    /// This build, and the other.
    workers: [Worker; 2],
    seconds: f64,
}

/// A row that has no verdict yet.
struct Open {
    case: Case,
    rounds: Rounds,
    /// Whether times are the device clock's: as long as it has told the time of every run.
    by_device: bool,
}

/// What both answered to a request to prepare: the cases that both have, with the case's number in each.
struct Shared {
    cases: Vec<(Case, [usize; 2])>,
    skipped: Vec<String>,
}

/// Measures this build and another in turns. `say` gets lines about what can't be measured, and about progress.
pub(crate) fn against(args: &Args, program: &Path, say: &dyn Fn(&str)) -> Result<Comparison, Failure> {
    let this = std::env::current_exe().map_err(|error| Failure::machine(format!("this program's place: {error}")))?;
    let arguments = worker::arguments(std::env::args_os());
    let workers = [Worker::start(&this, &arguments)?, Worker::start(program, &arguments)?];
    let [ours, theirs] = [0, 1].map(|at: usize| workers[at].greeting.clone());
    if ours.adapter != theirs.adapter {
        let named = |adapter: &Adapter| format!("{} ({})", adapter.name, adapter.driver);
        let (ours, theirs) = (named(&ours.adapter), named(&theirs.adapter));
        return Err(Failure::request(format!("this build is on {ours}, the other one on {theirs}"))
            .with_help("--adapter names one that both have"));
    }
    let mut builds = Builds { workers, seconds: TURN * args.min_time };
    let (mut rows, margin) = (Vec::new(), args.margin());
    for workload in args.workloads()? {
        for batch in args.batches() {
            rows.extend(builds.rows(workload.name(), batch, margin, say)?);
        }
    }
    Ok(Comparison {
        meta: Meta::here(),
        adapter: ours.adapter,
        builds: [ours.build, theirs.build],
        other: program.display().to_string(),
        margin,
        rows,
        note: "turns were interleaved, so that what drifts met both alike".into(),
    })
}

impl Builds {
    /// The rows of a workload with one batch.
    fn rows(&mut self, workload: &str, batch: u32, margin: f64, say: &dyn Fn(&str)) -> Result<Vec<Compared>, Failure> {
        let mut open: Vec<Open> = Vec::new();
        for round in 0.. {
            if round > 0 && !open.iter().any(|open| goes_on(&open.rounds, round, margin)) {
                break;
            }
            let shared = self.prepare(workload, batch, round)?;
            if round == 0 {
                shared.skipped.iter().for_each(|line| say(line));
                open.extend(shared.cases.iter().map(|(case, _)| Open::new(case.clone())));
            }
            for open in &mut open {
                // A later round may find too little memory where an earlier one had enough.
                let found = shared.cases.iter().find(|(case, _)| *case == open.case);
                if let (Some((_, numbers)), true) = (found, goes_on(&open.rounds, round, margin)) {
                    self.round(open, *numbers, round)?;
                }
            }
        }
        Ok(open.into_iter().map(|open| open.compared(margin)).collect())
    }

    /// Has both make all their buffers anew; which one is first alternates.
    fn prepare(&mut self, workload: &str, batch: u32, round: usize) -> Result<Shared, Failure> {
        let mut said = [None, None];
        for turn in 0..2 {
            let at = (turn + round) % 2;
            match self.workers[at].ask(&Request::Prepare { workload: workload.into(), batch })? {
                Reply::Cases { cases, skipped } => said[at] = Some((cases, skipped)),
                Reply::Error { message } => said[at] = Some((Vec::new(), vec![format!("skip: {message}")])),
                Reply::Times { .. } => return Err(Failure::machine("a build gave times that nobody asked for")),
            }
        }
        let [Some((ours, mut skipped)), Some((theirs, other_skipped))] = said else {
            return Err(Failure::machine("a build said nothing"));
        };
        skipped.extend(other_skipped.into_iter().map(|line| format!("{line} (the other build)")));
        let mut cases = Vec::new();
        for (at, case) in ours.into_iter().enumerate() {
            match theirs.iter().position(|other| other.is(&case)) {
                Some(other) => cases.push((case, [at, other])),
                None => skipped.push(format!(
                    "skip: {} {} batch {}: the other build has none",
                    case.workload, case.pass, case.batch
                )),
            }
        }
        Ok(Shared { cases, skipped })
    }

    /// One round of turns; the first turn of each build doesn't count.
    fn round(&mut self, open: &mut Open, numbers: [usize; 2], round: usize) -> Result<(), Failure> {
        open.rounds.begin();
        // If a row is still ambiguous, most of its runs are disturbed; with more runs some won't be.
        let turns = if round < ROUNDS { TURNS } else { 3 * TURNS };
        for turn in 0..=turns {
            let first = (turn + round) % 2;
            let mut taken = [Vec::new(), Vec::new()];
            let mut by_device = [false; 2];
            for at in [first, 1 - first] {
                let request = Request::Turn { case: numbers[at], seconds: self.seconds };
                match self.workers[at].ask(&request)? {
                    Reply::Times { wall_ms, gpu_ms } => {
                        // If there are fewer times, the device's clock missed some runs.
                        by_device[at] = gpu_ms.len() == wall_ms.len();
                        taken[at] = [wall_ms, gpu_ms].into();
                    }
                    Reply::Error { message } => return Err(Failure::machine(message)),
                    Reply::Cases { .. } => return Err(Failure::machine("a build gave cases that nobody asked for")),
                }
            }
            if turn > 0 {
                open.add(&taken, by_device == [true; 2]);
            }
        }
        Ok(())
    }
}

impl Open {
    fn new(case: Case) -> Self {
        Self { case, rounds: Rounds::default(), by_device: true }
    }

    /// Adds a pair of turns: each build's times, by the wall clock and by the device's.
    fn add(&mut self, taken: &[Vec<Vec<f64>>; 2], by_device: bool) {
        if self.by_device && !by_device {
            // The times before were by the device's clock, so they are dropped.
            (self.rounds, self.by_device) = (Rounds::default(), false);
            self.rounds.begin();
        }
        let clock = usize::from(self.by_device);
        self.rounds.add(&taken[0][clock], &taken[1][clock]);
    }

    fn compared(self, margin: f64) -> Compared {
        let interval = self.rounds.interval();
        Compared {
            case: self.case,
            ms: self.rounds.medians(),
            clock: if self.by_device { "gpu" } else { "wall" },
            ratio: self.rounds.ratio(),
            interval,
            verdict: Verdict::of(interval, margin),
            rounds: self.rounds.count(),
        }
    }
}
