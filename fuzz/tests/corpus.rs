//! All that libFuzzer found worth keeping, and what it found wrong, thrown once more.

#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use locally_fuzz::{Counting, TARGETS, Target};
use std::path::Path;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Longest that one input may take, built without optimisation and beside other tests.
const LONGEST: Duration = Duration::from_secs(20);

fn throw(target: &Target, what: &str, bytes: &[u8]) {
    println!("{}: {what}", target.name);
    let start = Instant::now();
    target.run(bytes);
    let time = start.elapsed();
    assert!(time < LONGEST, "{}: {what} takes {time:?}", target.name);
}

/// The inputs in a folder of the target's; how many.
fn replay(folder: &str, target: &Target) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(target.name);
    let mut paths: Vec<_> =
        std::fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in &paths {
        let bytes = std::fs::read(path).expect("a file");
        throw(target, &path.display().to_string(), &bytes);
    }
    paths.len()
}

#[test]
fn corpora_are_taken() {
    for target in &TARGETS {
        let count = replay("corpus", target);
        assert!(count >= 10, "{} has {count} inputs", target.name);
    }
}

/// Each was once a panic, a hang or too much memory.
#[test]
fn what_was_found_is_mended() {
    TARGETS.iter().for_each(|target| _ = replay("found", target));
}

#[test]
fn seeds_are_taken() {
    for target in &TARGETS {
        let seeds = target.seeds();
        assert!(seeds.len() > 1, "{}", target.name);
        seeds.iter().zip(0..).for_each(|(bytes, number)| throw(target, &format!("seed {number}"), bytes));
    }
}
