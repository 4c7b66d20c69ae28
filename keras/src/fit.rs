//! Whether a layer's description fits the weights in its file, and if not, which description would.

use crate::error::Problem;
use crate::shapes::elements;
use locally_connected::{Config, DataFormat, Geometry, KerasLayout, Padding};

/// The most entries that one axis's tables may have beyond what the file's own size warrants. A config of a few bytes
/// can claim axes of billions, whose tables would fit no memory.
const FREE_TABLE: u64 = 1 << 24;
/// How many weights a layer may have for each that is stored, the others being clipped by padding. A window of a few bytes can have billions
/// of taps.
const MOST_CLIPPED: u64 = 64;
/// The most positions that an axis may have: half a gigabyte for one sample with one channel.
const MOST_POSITIONS: u64 = 1 << 27;

/// The layer's geometry, if its kernel and bias have the shapes that it needs.
pub(crate) fn geometry(
    config: &Config,
    layout: KerasLayout,
    input: &[usize],
    weights: &[Vec<usize>],
) -> Result<Geometry, Problem> {
    let stored = weights.first().map_or(Ok(0), |kernel| elements(kernel))?;
    check_tables(config, input, stored)?;
    let geometry = Geometry::new(config, input)?;
    layout.check(&geometry)?;
    if geometry.weights() > stored.saturating_mul(MOST_CLIPPED).max(FREE_TABLE) {
        return Err(over_weights(config, input, stored));
    }
    let expected = [Some(layout.shape(&geometry)), geometry.bias_shape()];
    for ((what, expected), found) in ["kernel", "bias"].into_iter().zip(expected).zip(weights) {
        let Some(expected) = expected else { continue };
        if *found != expected {
            return Err(Problem::Shape { what, expected, found: found.clone() });
        }
    }
    Ok(geometry)
}

/// The most descriptions that are tried.
const MOST_TRIES: usize = 16;

/// The strides, or else the kernel sizes, with which the description would fit the weights if all else stays.
pub(crate) fn other_argument(
    config: &Config,
    layout: KerasLayout,
    input: &[usize],
    weights: &[Vec<usize>],
) -> Option<(&'static str, Vec<usize>)> {
    let rank = config.rank();
    let first = usize::from(config.data_format == DataFormat::ChannelsFirst);
    let input_sizes = input.get(first..)?.get(..rank)?;
    let outputs = outputs(layout, rank, first, weights)?;
    let axes = || (input_sizes.iter().zip(&outputs)).zip(config.kernel_size.iter().zip(&config.strides));
    let is_same = config.padding != Padding::Valid;
    let fits = |config: &Config| geometry(config, layout, input, weights).is_ok();

    let strides: Option<Vec<usize>> = axes()
        .map(|((&n, &o), (&k, &s))| stride(if is_same { n.checked_sub(1)? } else { n.checked_sub(k)? }, o, s))
        .collect();
    if let Some(strides) = strides
        && fits(&config.clone().strides(strides.clone()))
    {
        return Some(("strides", strides));
    }
    if is_same {
        return None;
    }
    // Window sizes that differ by less than the stride give the same number of windows.
    let sizes = axes().map(|((&n, &o), (_, &s))| {
        let largest = o.checked_sub(1)?.checked_mul(s).and_then(|start| n.checked_sub(start))?;
        Some((1..=largest).rev().take(s.min(MOST_TRIES)).collect::<Vec<_>>())
    });
    let sizes: Vec<Vec<usize>> = sizes.collect::<Option<_>>()?;
    let combinations = sizes.iter().try_fold(1usize, |a, axis| a.checked_mul(axis.len()))?;
    (0..combinations.min(MOST_TRIES)).find_map(|mut index| {
        let mut kernel = Vec::with_capacity(rank);
        for axis in &sizes {
            kernel.push(*axis.get(index % axis.len())?);
            index /= axis.len();
        }
        let mut other = config.clone();
        other.kernel_size.clone_from(&kernel);
        fits(&other).then_some(("kernel_size", kernel))
    })
}

/// The number of windows along each axis that the weights are for, if their shapes tell.
fn outputs(layout: KerasLayout, rank: usize, first: usize, weights: &[Vec<usize>]) -> Option<Vec<usize>> {
    let kernel = weights.first()?;
    let sizes = match (weights.get(1), layout) {
        (Some(bias), _) => bias.get(..rank)?,
        (None, KerasLayout::Implementation2) => kernel.get(rank + 1 + first..)?.get(..rank)?,
        (None, KerasLayout::Implementation1) if rank == 1 => kernel.get(..1)?,
        _ => return None,
    };
    Some(sizes.to_vec())
}

/// A stride that gives `outputs` windows, the last of which begins at `last` or before: `given` if possible, else the
/// smallest.
fn stride(last: usize, outputs: usize, given: usize) -> Option<usize> {
    let makes = |stride: &usize| last.checked_div(*stride).is_some_and(|steps| steps.checked_add(1) == Some(outputs));
    Some(given).into_iter().chain([last.checked_div(outputs)?.checked_add(1)?]).find(makes)
}

/// Refuses a config whose tables would be far larger than the weights that the file holds.
pub(crate) fn check_tables(config: &Config, input: &[usize], stored: u64) -> Result<(), Problem> {
    let first = usize::from(config.data_format == DataFormat::ChannelsFirst);
    for (axis, (&k, &s)) in config.kernel_size.iter().zip(&config.strides).enumerate() {
        let Some(&n) = input.get(axis + first) else { return Ok(()) };
        let (n, k, s) = (n as u128, k as u128, (s as u128).max(1));
        let dilation = config.dilation_rate.get(axis).map_or(1, |&d| d as u128);
        let span = k.saturating_sub(1).saturating_mul(dilation).saturating_add(1);
        let windows = |n: u128| if n < span { 0 } else { (n - span) / s + 1 };
        let outputs = match &config.padding {
            Padding::Valid => windows(n),
            Padding::Explicit(pads) => windows(n + pads.get(axis).map_or(0, |p| p[0] as u128 + p[1] as u128)),
            _ => n.div_ceil(s),
        };
        let table = outputs.saturating_mul(k);
        if n > MOST_POSITIONS.into() || table > u128::from(stored.max(FREE_TABLE)) {
            return Err(over_weights(config, input, stored));
        }
    }
    Ok(())
}

fn over_weights(config: &Config, input: &[usize], stored: u64) -> Problem {
    let Config { kernel_size: kernel, strides, .. } = config.clone();
    Problem::OverWeights { input: input.to_vec(), kernel, strides, stored }
}

#[cfg(test)]
mod tests {
    use super::*;
    use locally_connected::Error;

    /// Padding clips some taps of a window, and not nearly all of millions.
    #[test]
    fn most_weights_of_a_layer_are_stored() -> Result<(), Error> {
        for (kernel, is_read) in [(7, true), (4000, true), (20_000, false)] {
            let config = Config::new(1, [kernel, kernel]).padding(Padding::Same).bias(locally_connected::Bias::None);
            let geometry = Geometry::new(&config, &[1, 1, 1])?;
            for layout in [KerasLayout::Implementation2, KerasLayout::Implementation3] {
                let found = super::geometry(&config, layout, &[1, 1, 1], &[layout.shape(&geometry)]);
                assert_eq!(found.is_ok(), is_read, "{kernel} {found:?}");
            }
        }
        Ok(())
    }

    /// A layer, described with another stride or kernel size than the one its weights were made with.
    #[test]
    fn the_right_argument_is_found() -> Result<(), Error> {
        let right = Config::new(16, [7, 7]).strides([2, 2]);
        let weights = |config: &Config, layout: KerasLayout, input: &[usize]| {
            let geometry = Geometry::new(config, input)?;
            let bias = geometry.bias_shape();
            Ok::<_, Error>([layout.shape(&geometry)].into_iter().chain(bias).collect::<Vec<_>>())
        };
        let input = [55, 55, 16];
        for layout in [KerasLayout::Implementation1, KerasLayout::Implementation3] {
            let stored = weights(&right, layout, &input)?;
            let found = |config: Config| other_argument(&config, layout, &input, &stored);
            assert_eq!(found(right.clone().strides([1, 1])), Some(("strides", vec![2, 2])));
            assert_eq!(found(right.clone().strides([2, 3])), Some(("strides", vec![2, 2])));
            assert_eq!(found(Config::new(16, [9, 9]).strides([2, 2])), Some(("kernel_size", vec![7, 7])));
            assert_eq!(found(Config::new(16, [60, 7]).strides([2, 2])), Some(("kernel_size", vec![7, 7])));
            assert_eq!(found(Config::new(17, [7, 7]).strides([2, 2])), None);
            assert_eq!(found(Config::new(16, [9, 9])), None);
        }
        let right = Config::new(2, [4]).padding(Padding::Same).strides([3]).data_format(DataFormat::ChannelsFirst);
        let layout = KerasLayout::Implementation2;
        let stored = weights(&right.clone().bias(locally_connected::Bias::None), layout, &[5, 20])?;
        let wrong = right.strides([1]).bias(locally_connected::Bias::None);
        assert_eq!(other_argument(&wrong, layout, &[5, 20], &stored), Some(("strides", vec![3])));
        Ok(())
    }
}
