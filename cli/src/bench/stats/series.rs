//! The samples of a row. The first runs don't count, until they no longer get faster; then samples are taken until
//! there are enough.

use super::super::clock::Sample;
use super::{Entropy, median, relative_spread};
use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// The fewest samples of a row, unless they take more time than it has.
const LEAST_SAMPLES: usize = 5;
/// The most samples of a row, since a report lists all of them.
const MOST_SAMPLES: usize = 10_000;
/// If the first run is slower than this, in milliseconds, the second one counts.
const SLOW: f64 = 1000.0;
/// How many runs are compared with as many before them.
const WINDOW: usize = 3;
/// Runs no longer get faster if the later ones take more than this share of the earlier ones' time.
const FLAT: f64 = 0.98;

/// When a row has enough samples.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    /// Least seconds of samples.
    pub(crate) least: f64,
    /// Most seconds of samples, once there is one.
    pub(crate) most: f64,
    /// Enough samples if the quartiles differ by less than this share of the median.
    pub(crate) spread: f64,
}

/// Why sampling of a row ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stopped {
    /// The quartiles were near enough to each other.
    Spread,
    /// More samples wouldn't have changed what is known of how times are distributed.
    Entropy,
    /// There was no more time.
    Time,
    /// A report takes no more samples.
    Count,
}

impl Stopped {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Spread => "spread",
            Self::Entropy => "entropy",
            Self::Time => "time",
            Self::Count => "count",
        }
    }
}

/// A row's samples while they are taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    /// Times of the runs that don't count, in milliseconds.
    warm_up: Vec<f64>,
    warming: f64,
    warm: bool,
    pub(crate) samples: Vec<Sample>,
    seconds: f64,
    entropy: Entropy,
    /// When to check next whether there are enough: checking many samples after each one would take longer than
    /// sampling.
    next_look: usize,
    pub(crate) stopped: Option<Stopped>,
}

impl Series {
    /// How many runs didn't count.
    pub(crate) fn warm_up(&self) -> usize {
        self.warm_up.len()
    }

    /// Adds a run, which took so many seconds in all.
    pub(crate) fn add(&mut self, sample: Sample, seconds: f64, stop: &Stop) {
        let time = sample.milliseconds();
        if self.warm {
            self.entropy.add(time);
            self.samples.push(sample);
            self.seconds += seconds;
            self.stopped = self.look(stop);
        } else {
            self.warm_up.push(time);
            self.warming += seconds;
            self.warm = self.is_warm(stop);
        }
    }

    /// Whether runs no longer get faster, or have taken as long as the samples must.
    fn is_warm(&self, stop: &Stop) -> bool {
        let runs = self.warm_up.len();
        if runs < 2 {
            return self.warm_up.iter().any(|&time| time >= SLOW);
        }
        let best = |runs: &[f64]| runs.iter().copied().fold(f64::INFINITY, f64::min);
        let flat = || {
            let (before, last) = self.warm_up[runs - 2 * WINDOW..].split_at(WINDOW);
            best(last) >= FLAT * best(before)
        };
        self.warming >= stop.least || runs >= 2 * WINDOW && flat()
    }

    fn look(&mut self, stop: &Stop) -> Option<Stopped> {
        let count = self.samples.len();
        let over = self.seconds >= stop.most;
        if self.seconds >= stop.least && count >= LEAST_SAMPLES && (over || count >= self.next_look) {
            self.next_look = count + count / 16;
            let times: Vec<f64> = self.samples.iter().map(Sample::milliseconds).collect();
            if relative_spread(&times) <= stop.spread {
                return Some(Stopped::Spread);
            }
            // If times drift, more samples would say something new, however well the distribution is known.
            let (first, last) = times.split_at(count / 2);
            let drift = (median(last) / median(first).max(f64::MIN_POSITIVE) - 1.0).abs();
            if self.entropy.is_settled() && drift <= stop.spread {
                return Some(Stopped::Entropy);
            }
        }
        match (over, count >= MOST_SAMPLES) {
            (true, _) => Some(Stopped::Time),
            (false, true) => Some(Stopped::Count),
            (false, false) => None,
        }
    }
}

/// Runs all cases in turns, so that disturbances affect all alike, until each has enough samples.
pub(crate) fn in_turns(
    series: &mut [Series],
    stop: &Stop,
    mut time: impl FnMut(usize) -> Result<Sample, Failure>,
) -> Result<(), Failure> {
    while series.iter().any(|series| series.stopped.is_none()) {
        for (at, series) in series.iter_mut().enumerate().filter(|(_, series)| series.stopped.is_none()) {
            let start = Instant::now();
            let sample = time(at)?;
            series.add(sample, start.elapsed().as_secs_f64(), stop);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOP: Stop = Stop { least: 0.5, most: 5.0, spread: 0.05 };

    /// A series of runs with these times in milliseconds.
    fn series(time: impl Fn(usize) -> f64, stop: &Stop) -> Series {
        let mut series = Series::default();
        for run in 0.. {
            let wall = time(run);
            series.add(Sample { wall, gpu: None }, wall / 1e3, stop);
            if series.stopped.is_some() {
                break;
            }
        }
        series
    }

    #[test]
    fn it_says_why_it_stopped() {
        let steady = series(|_| 10.0, &STOP);
        assert_eq!((steady.stopped, steady.samples.len(), steady.warm_up()), (Some(Stopped::Spread), 50, 6));
        let two = series(|run| if run * 7 % 13 < 6 { 1.0 } else { 2.0 }, &Stop { least: 0.05, ..STOP });
        assert_eq!(two.stopped, Some(Stopped::Entropy));
        let drifting = series(|run| 10.0 * 1.02f64.powi(run as i32), &STOP);
        assert_eq!(drifting.stopped, Some(Stopped::Time));
        let fast = series(|run| 0.001 * 1.001f64.powi(run as i32 % 9000), &Stop { least: 600.0, most: 600.0, ..STOP });
        assert_eq!((fast.stopped, fast.samples.len()), (Some(Stopped::Count), MOST_SAMPLES));
    }

    #[test]
    fn runs_count_once_they_are_no_longer_getting_faster() {
        // A device that gets faster over twenty runs.
        let rising = series(|run| if run < 20 { 30.0 - run as f64 } else { 10.0 }, &Stop { least: 2.0, ..STOP });
        assert!(rising.warm_up() > 20 && rising.samples.iter().all(|sample| sample.wall == 10.0));
        // A run of seconds isn't repeated in vain, and a slow row ends when its time is over.
        let slow = series(|_| 20_000.0, &STOP);
        assert_eq!((slow.warm_up(), slow.samples.len(), slow.stopped), (1, 1, Some(Stopped::Time)));
        let never = series(|run| 400.0 - run as f64, &STOP);
        assert_eq!(never.warm_up(), 2);
    }

    #[test]
    fn turns_end_when_all_have_enough() -> Result<(), Failure> {
        let mut both = [Series::default(), Series::default()];
        in_turns(&mut both, &Stop { least: 0.0, ..STOP }, |at| Ok(Sample { wall: 1.0 + at as f64, gpu: Some(0.5) }))?;
        assert!(both.iter().all(|series| series.samples.len() == LEAST_SAMPLES));
        Ok(())
    }
}
