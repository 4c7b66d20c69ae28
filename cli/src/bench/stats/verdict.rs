//! Which of two builds is faster, said only if chance can't explain it.

use super::{Rounds, median_interval};
use serde::{Deserialize, Serialize};

/// The change that is looked for if none is given: 5 %. Two processes of one program differ by up to 2 %, depending on
/// where their memory lies.
pub(crate) const MARGIN: f64 = 0.05;

/// Rounds of turns for every row.
pub(crate) const ROUNDS: usize = 8;
/// The most rounds of a row that stays ambiguous.
const MOST_ROUNDS: usize = 24;
/// Pairs of turns in a round.
pub(crate) const TURNS: usize = 12;

/// Whether a row needs another round.
pub(crate) fn goes_on(taken: &Rounds, rounds: usize, margin: f64) -> bool {
    let ambiguous = || Verdict::of(taken.interval(), margin) == Verdict::Ambiguous;
    rounds < ROUNDS || rounds < MOST_ROUNDS && ambiguous()
}

/// What the interval of a ratio of two times says about a change of `margin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Verdict {
    /// The whole interval is within the margin.
    Same,
    /// The whole interval is faster by more than the margin.
    Faster,
    /// The whole interval is slower by more than the margin.
    Slower,
    /// The interval contains an end of the margin: more turns, or a quieter machine, would tell.
    Ambiguous,
}

impl Verdict {
    /// The verdict on this build's time relative to the other's.
    pub(crate) fn of([low, high]: [f64; 2], margin: f64) -> Self {
        let (least, most) = (1.0 / (1.0 + margin), 1.0 + margin);
        match () {
            () if low > most => Self::Slower,
            () if high < least => Self::Faster,
            () if low >= least && high <= most => Self::Same,
            () => Self::Ambiguous,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Same => "SAME",
            Self::Faster => "FASTER",
            Self::Slower => "SLOWER",
            Self::Ambiguous => "AMBIGUOUS",
        }
    }
}

/// The interval of the ratio of two medians that were measured separately: each may be anywhere in its own interval.
pub(crate) fn apart(this: &[f64], other: &[f64]) -> [f64; 2] {
    let ([low, high], [other_low, other_high]) = (median_interval(this), median_interval(other));
    [low / other_high, high / other_low]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// A noisy machine: times that drift by a tenth over a run; bursts of other load in a tenth of the runs; half of
    /// the other runs taking two and a half times as long while something shares the processor; noise of 4 % in each
    /// run, and 1 % that each process has of its own in a round.
    fn run(random: &mut Random, slower: f64) -> Rounds {
        let mut taken = Rounds::default();
        let (mut drift, mut shared) = (1.0, [false; 2]);
        for rounds in 0.. {
            if !goes_on(&taken, rounds, MARGIN) {
                break;
            }
            taken.begin();
            let own = [0; 2].map(|_| 1.0 + 0.01 * (random.unit() - 0.5));
            for _ in 0..TURNS {
                drift *= 1.0 + 0.01 * (random.unit() - 0.5);
                let mut time = |build: usize| {
                    // Each process stays so for a while.
                    if random.unit() < 0.15 {
                        shared[build] = random.unit() < 0.5;
                    }
                    let others = if shared[build] { 2.5 } else { 1.0 };
                    let burst = if random.unit() < 0.1 { 1.0 + random.unit() } else { 1.0 };
                    let noise = 1.0 + 0.04 * ((0..12).map(|_| random.unit()).sum::<f64>() - 6.0).abs();
                    own[build] * drift * others * burst * noise * if build == 0 { slower } else { 1.0 }
                };
                let times = [0, 1].map(|build: usize| [time(build), time(build), time(build)]);
                taken.add(&times[0], &times[1]);
            }
        }
        taken
    }

    /// How many of a hundred comparisons end with one of these verdicts.
    fn count(slower: f64, wanted: &[Verdict]) -> usize {
        let mut random = Random::new(11);
        let verdicts = (0..100).map(|_| Verdict::of(run(&mut random, slower).interval(), MARGIN));
        verdicts.filter(|verdict| wanted.contains(verdict)).count()
    }

    #[test]
    fn an_unchanged_build_is_the_same_in_nineteen_of_twenty_runs() {
        let same = count(1.0, &[Verdict::Same]);
        assert!(same >= 95, "{same} of 100");
        assert_eq!(count(1.0, &[Verdict::Slower, Verdict::Faster]), 0);
    }

    #[test]
    fn a_slowed_kernel_is_slower() {
        let found = [(1.15, Verdict::Slower), (1.0 / 1.15, Verdict::Faster)].map(|(slower, is)| count(slower, &[is]));
        assert!(found.iter().all(|&found| found >= 95), "{found:?} of 100");
        // A change equal to the margin is claimed only by chance.
        let claimed = count(1.05, &[Verdict::Slower]);
        assert!(claimed <= 15, "{claimed} of 100");
    }

    #[test]
    fn verdicts_follow_from_the_whole_interval() {
        let verdicts = [[0.96, 1.04], [1.06, 1.2], [0.8, 0.9], [0.99, 1.06], [0.5, 2.0], [0.0, f64::INFINITY]];
        use Verdict::{Ambiguous, Faster, Same, Slower};
        let expected = [Same, Slower, Faster, Ambiguous, Ambiguous, Ambiguous];
        assert_eq!(verdicts.map(|interval| Verdict::of(interval, MARGIN)), expected);
        let values = |middle: f64| [0.99, 1.0, 1.01].map(|factor| factor * middle).repeat(20);
        assert_eq!(Verdict::of(apart(&values(2.0), &values(1.0)), MARGIN), Slower);
        assert_eq!(Verdict::of(apart(&values(1.0), &values(1.0)), MARGIN), Same);
    }
}
