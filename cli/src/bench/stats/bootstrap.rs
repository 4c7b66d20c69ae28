//! Intervals by resampling: how much a statistic would vary if other samples of the same kind were taken.

use super::{median, quantile, sorted};
use crate::random::Random;

/// The seed of all resampling, so that equal samples have equal intervals.
pub(crate) const SEED: u64 = 0x6c6f_6361_6c6c_7921;
/// How many resamples an interval is made from.
const RESAMPLES: usize = 1000;
/// The confidence of a median's interval.
const MEDIAN: f64 = 0.95;
/// The confidence of a ratio's interval: a verdict on one of many rows must not be chance.
const RATIO: f64 = 0.99;

/// The interval that contains, with a confidence of 95 %, the median of what these are samples of. 0 to 0 without
/// samples.
pub(crate) fn median_interval(values: &[f64]) -> [f64; 2] {
    let values = sorted(values.to_vec());
    if values.is_empty() {
        return [0.0; 2];
    }
    let mut random = Random::new(SEED);
    let middle = values.len() / 2;
    let mut drawn = vec![0; values.len()];
    let medians = (0..RESAMPLES).map(|_| {
        drawn.iter_mut().for_each(|at| *at = random.below(values.len()));
        // For an even number this is the upper of the two values in the middle, in every resample.
        let (_, at, _) = drawn.select_nth_unstable(middle);
        values[*at]
    });
    let medians = sorted(medians.collect());
    // For an even number the median itself may lie below all of those.
    let median = quantile(&values, 0.5);
    let [low, high] = ends(&medians, MEDIAN);
    [low.min(median), high.max(median)]
}

/// The middle part of sorted values with this share of them.
fn ends(sorted: &[f64], share: f64) -> [f64; 2] {
    [(1.0 - share) / 2.0, (1.0 + share) / 2.0].map(|at| quantile(sorted, at))
}

/// Only this share of a round's runs counts, the quickest ones: other load only ever adds time, and on a busy machine
/// it does to most runs.
const QUICKEST: f64 = 0.1;

/// The times of two builds, in rounds of turns. What is particular to a round, such as where buffers lie, is the same
/// in all of its turns. So each round gives one ratio, and rounds are what is resampled.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rounds {
    rounds: Vec<[Vec<f64>; 2]>,
}

impl Rounds {
    /// Begins a round.
    pub(crate) fn begin(&mut self) {
        self.rounds.push([Vec::new(), Vec::new()]);
    }

    /// Adds the times of some runs of this build and of the other.
    pub(crate) fn add(&mut self, this: &[f64], other: &[f64]) {
        if let Some([all, all_other]) = self.rounds.last_mut() {
            all.extend(this);
            all_other.extend(other);
        }
    }

    /// How many rounds have times of both builds.
    pub(crate) fn count(&self) -> usize {
        self.logarithms().len()
    }

    /// The median time of a run of each build, over all rounds.
    pub(crate) fn medians(&self) -> [f64; 2] {
        [0, 1]
            .map(|build: usize| median(&self.rounds.iter().flat_map(|round| round[build].clone()).collect::<Vec<_>>()))
    }

    fn logarithms(&self) -> Vec<f64> {
        let ratio = |[this, other]: &[Vec<f64>; 2]| Some((quickest(this)? / quickest(other)?).ln());
        self.rounds.iter().filter_map(ratio).collect()
    }

    /// This build's time relative to the other's: the median of the rounds' ratios.
    pub(crate) fn ratio(&self) -> f64 {
        median(&self.logarithms()).exp()
    }

    /// The interval of the ratio, with a confidence of 99 %; unbounded without rounds.
    pub(crate) fn interval(&self) -> [f64; 2] {
        let rounds = self.logarithms();
        if rounds.is_empty() {
            return [0.0, f64::INFINITY];
        }
        let mut random = Random::new(SEED);
        let mut drawn = vec![0.0; rounds.len()];
        let mut resampled = || {
            drawn.iter_mut().for_each(|value| *value = rounds[random.below(rounds.len())]);
            median(&drawn)
        };
        let medians = sorted((0..RESAMPLES).map(|_| resampled()).collect());
        ends(&medians, RATIO).map(f64::exp)
    }
}

/// The mean of the quickest runs; none without runs, or if no clock can have measured them.
fn quickest(times: &[f64]) -> Option<f64> {
    let times = sorted(times.to_vec());
    let count = ((times.len() as f64 * QUICKEST) as usize).max(1);
    let quickest = times.get(..count)?;
    Some(quickest.iter().sum::<f64>() / count as f64).filter(|&time| time > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A random number with mean 0 and deviation 1, about normally distributed.
    fn normal(random: &mut Random) -> f64 {
        (0..12).map(|_| random.unit()).sum::<f64>() - 6.0
    }

    #[test]
    fn an_interval_holds_the_median_as_often_as_it_says() {
        let mut random = Random::new(7);
        let held = (0..400).filter(|_| {
            let values: Vec<f64> = (0..40).map(|_| 10.0 + normal(&mut random)).collect();
            let [low, high] = median_interval(&values);
            (low..=high).contains(&10.0)
        });
        // 95 %, plus or minus three standard deviations of 400 trials.
        assert!((367..=396).contains(&held.count()));
        let mut few = vec![3.0, 1.0];
        assert_eq!(median_interval(&few), [1.0, 3.0]);
        few.truncate(1);
        assert_eq!((median_interval(&few), median_interval(&[])), ([3.0, 3.0], [0.0, 0.0]));
    }

    #[test]
    fn equal_samples_have_equal_intervals() {
        let values: Vec<f64> = (0..99).map(|i| f64::from(i * 37 % 99)).collect();
        assert_eq!(median_interval(&values), median_interval(&values));
        let [low, high] = median_interval(&values);
        assert!(low < 49.0 && high > 49.0 && high - low < 40.0, "{low} to {high}");
    }

    #[test]
    fn what_a_round_has_of_its_own_widens_the_interval() {
        let rounds = |of_round: [f64; 5]| {
            let (mut rounds, mut random) = (Rounds::default(), Random::new(3));
            for bias in of_round {
                rounds.begin();
                for _ in 0..50 {
                    rounds.add(&[1.0 + bias + 0.01 * normal(&mut random)], &[1.0 + 0.01 * normal(&mut random)]);
                }
            }
            rounds
        };
        let width = |rounds: &Rounds| rounds.interval()[1] - rounds.interval()[0];
        let (alike, apart) = (rounds([0.0; 5]), rounds([-0.1, -0.05, 0.0, 0.05, 0.1]));
        assert!(width(&alike) < 0.03 && width(&apart) > 0.1, "{} and {}", width(&alike), width(&apart));
        assert!((alike.ratio() - 1.0).abs() < 0.01 && alike.count() == 5);
        assert_eq!((Rounds::default().interval(), quickest(&[0.0])), ([0.0, f64::INFINITY], None));
    }

    #[test]
    fn what_others_do_meanwhile_does_not_count() {
        let mut rounds = Rounds::default();
        for round in 0..8 {
            rounds.begin();
            // In one round most runs of one build share the processor, in another round those of the other.
            let (free, shared) = ([2.0; 3], [5.0; 20]);
            let busy = [&free[..], &shared].concat();
            if round % 2 == 0 { rounds.add(&busy, &free) } else { rounds.add(&free, &busy) }
        }
        assert_eq!(rounds.interval(), [1.0, 1.0]);
    }
}
