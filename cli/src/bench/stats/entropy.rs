//! The entropy criterion of nvbench: there are enough samples once more of them don't change what is known of how times
//! are distributed, however widely they spread.
//!
//! With each sample the entropy of all samples so far grows, more and more slowly. A line is fitted to the last values
//! of the entropy. It is flat enough if its angle is small, and it counts only if it explains enough of their
//! variation.

use std::collections::{BTreeMap, VecDeque};

/// How many values the line is fitted to, its largest angle in degrees, and the least coefficient of determination; the
/// numbers are nvbench's.
const WINDOW: usize = 299;
const MOST_ANGLE: f64 = 0.048;
const LEAST_R2: f64 = 0.36;
/// If these values differ by less, in bits, there is no variation left to explain.
const FLAT: f64 = 2e-3;
/// Times that differ by less than this, half a per cent, count as equal. A GPU's clock makes such steps by itself.
const STEP: f64 = 1.005;

/// How the samples so far are distributed, and how the entropy of that has changed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entropy {
    counts: BTreeMap<i64, u64>,
    samples: u64,
    entropies: VecDeque<f64>,
}

impl Entropy {
    /// Takes a time in.
    pub(crate) fn add(&mut self, time: f64) {
        let step = (time.max(f64::MIN_POSITIVE).ln() / STEP.ln()).round() as i64;
        *self.counts.entry(step).or_default() += 1;
        self.samples += 1;
        if self.entropies.len() == WINDOW {
            self.entropies.pop_front();
        }
        let share = |count: &u64| *count as f64 / self.samples as f64;
        let entropy = self.counts.values().map(share).map(|share| -share * share.log2()).sum::<f64>();
        self.entropies.push_back(entropy.max(0.0));
    }

    /// Whether more samples wouldn't change what is known.
    pub(crate) fn is_settled(&self) -> bool {
        let count = self.entropies.len();
        if count < WINDOW.min(30) {
            return false;
        }
        let n = count as f64;
        let (mean_x, mean_y) = ((n - 1.0) / 2.0, self.entropies.iter().sum::<f64>() / n);
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for (y, x) in self.entropies.iter().zip(0u32..) {
            let (x, y) = (f64::from(x) - mean_x, y - mean_y);
            (xx, xy, yy) = (xx + x * x, xy + x * y, yy + y * y);
        }
        let slope = xy / xx;
        let flat = (yy / n).sqrt() < FLAT;
        flat || slope.atan().to_degrees() <= MOST_ANGLE && slope * xy / yy >= LEAST_R2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// How many samples it takes until it is settled.
    fn needed(mut time: impl FnMut(usize) -> f64) -> Option<usize> {
        let mut entropy = Entropy::default();
        (0..5000).find(|&i| {
            entropy.add(time(i));
            entropy.is_settled()
        })
    }

    #[test]
    fn a_distribution_that_is_known_needs_no_more_samples() {
        let mut random = Random::new(1);
        // Two values, a factor of two apart: the quartiles never come near each other.
        let two = needed(|_| if random.unit() < 0.5 { 1.0 } else { 2.0 });
        assert!(two.is_some_and(|samples| (29..1000).contains(&samples)), "{two:?}");
        assert_eq!(needed(|_| 1.0), Some(29));
    }

    #[test]
    fn times_that_are_ever_new_take_long_to_be_known() {
        let ever_new = needed(|i| 1.02f64.powi(i as i32 % 3000));
        assert!(ever_new.is_none_or(|samples| samples > 1000), "{ever_new:?}");
    }
}
