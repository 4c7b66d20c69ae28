//! Statistics of samples: medians, how certain they are, when there are enough samples, and which of two builds is
//! faster.

mod bootstrap;
mod entropy;
mod series;
mod verdict;

pub(crate) use bootstrap::{Rounds, SEED, median_interval};
pub(crate) use entropy::Entropy;
pub(crate) use series::{Series, Stop, Stopped, in_turns};
pub(crate) use verdict::{MARGIN, ROUNDS, TURNS, Verdict, apart, goes_on};

/// The value below which this share of the sorted values lies, interpolated between neighbours; 0 without values.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = share.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

/// The values in ascending order.
pub(crate) fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// The median of values in any order; 0 without values.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(&sorted(values.to_vec()), 0.5)
}

/// The distance between the quartiles, relative to the median; infinite if that is 0.
pub(crate) fn relative_spread(values: &[f64]) -> f64 {
    let sorted = sorted(values.to_vec());
    let [low, middle, high] = [0.25, 0.5, 0.75].map(|share| quantile(&sorted, share));
    if middle > 0.0 { (high - low) / middle } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_values() {
        assert_eq!([0.0, 0.25, 0.5, 1.0].map(|share| quantile(&[1.0, 2.0, 3.0, 5.0], share)), [1.0, 1.75, 2.5, 5.0]);
        assert_eq!((quantile(&[], 0.5), median(&[3.0]), median(&[9.0, 1.0, 2.0])), (0.0, 3.0, 2.0));
        assert_eq!(relative_spread(&[1.0, 2.0, 3.0, 4.0, 5.0]), 2.0 / 3.0);
        assert_eq!(relative_spread(&[0.0]), f64::INFINITY);
    }
}
