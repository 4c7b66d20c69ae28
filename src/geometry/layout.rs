//! Keras's kernel layouts, to and from the canonical `[cell][K][F/G]`.
//!
//! Every layout is walked in *runs*: the filters of one connection, which are contiguous in the canonical buffer and
//! equally spaced in Keras's. One walk serves both directions, all ranks and formats, and nothing is made for each
//! weight.

use super::{Geometry, Sharing};
use crate::config::{DataFormat, KerasLayout, Padding};
use crate::room::check_room;
use crate::{Error, Result};
use std::ops::Range;

/// A run of `filters` weights: weight `i` is at `canonical + i` in ours and at `keras + i · stride` in Keras's layout.
struct Run {
    canonical: u64,
    keras: u64,
    stride: u64,
}

impl KerasLayout {
    /// Checks that `geometry` can have weights in this layout.
    ///
    /// # Errors
    /// For convolutions, which have a [`SharedLayout`](super::SharedLayout) instead. For clipped taps in implementation
    /// 1, which has no place for them. For circular padding in implementations 2 and 3, where two taps of a window may
    /// be one entry of the matrix.
    pub fn check(self, geometry: &Geometry) -> Result<()> {
        let padding = &geometry.config().padding;
        if geometry.pattern().is_some() {
            return Err(Error::Unsupported {
                what: format!("Keras's weight layout of implementation {}", self.number()),
                with: "with a connectivity of the user's".into(),
            });
        }
        if geometry.sharing() != Sharing::Unshared {
            return Err(Error::Unsupported {
                what: format!("Keras's weight layout of implementation {}", self.number()),
                with: "by a layer whose locations share their weights".into(),
            });
        }
        match self {
            Self::Implementation1 if *padding != Padding::Valid => {
                Err(Error::PaddingNeedsOtherLayout { padding: padding.to_string() })
            }
            Self::Implementation2 | Self::Implementation3 if *padding == Padding::Circular => Err(Error::Unsupported {
                what: format!("Keras's weight layout of implementation {}", self.number()),
                with: "with circular padding".into(),
            }),
            _ => Ok(()),
        }
    }

    /// Shape of the Keras variable.
    #[must_use]
    pub fn shape(self, geometry: &Geometry) -> Vec<usize> {
        let filters = geometry.filters() as usize;
        match self {
            Self::Implementation1 => vec![geometry.locations() as usize, geometry.window() as usize, filters],
            Self::Implementation2 => [geometry.input_shape(), &geometry.output_shape()].concat(),
            Self::Implementation3 => vec![geometry.connected_weights() as usize],
        }
    }

    /// Number of elements of the Keras variable.
    #[must_use]
    pub fn len(self, geometry: &Geometry) -> u64 {
        match self {
            Self::Implementation1 => geometry.weights(),
            Self::Implementation2 => geometry.inputs().saturating_mul(geometry.outputs()),
            Self::Implementation3 => geometry.connected_weights(),
        }
    }

    /// Whether this layout is the canonical order, so that weights are copied unchanged.
    #[must_use]
    pub fn is_canonical(self, geometry: &Geometry) -> bool {
        self == Self::Implementation1
            && geometry.groups() == 1
            && (geometry.config().data_format == DataFormat::ChannelsLast
                || geometry.channels() == 1
                || geometry.taps() == 1)
    }

    /// The canonical weights of a Keras variable; clipped taps are zero.
    ///
    /// # Errors
    /// [`Error::Length`] if `kernel` isn't as long as [`KerasLayout::len`], [`Error::OutOfMemory`], and those of [`KerasLayout::check`].
    pub fn to_canonical(self, geometry: &Geometry, kernel: &[f32]) -> Result<Vec<f32>> {
        self.check(geometry)?;
        self.check_len(geometry, kernel.len())?;
        if self.is_canonical(geometry) {
            return Ok(kernel.to_vec());
        }
        check_room("canonical weights", geometry.weights())?;
        Ok(self.canonical_entries(geometry, kernel, 0..geometry.entries()))
    }

    /// As [`KerasLayout::to_canonical`], taking the variable: if both orders are the same it is returned, and nothing
    /// is copied.
    ///
    /// # Errors
    /// As [`KerasLayout::to_canonical`].
    pub fn into_canonical(self, geometry: &Geometry, kernel: Vec<f32>) -> Result<Vec<f32>> {
        self.check(geometry)?;
        if self.is_canonical(geometry) && self.check_len(geometry, kernel.len()).is_ok() {
            return Ok(kernel);
        }
        self.to_canonical(geometry, &kernel)
    }

    /// Some entries of the canonical weights, from a Keras variable that was checked.
    pub(crate) fn canonical_entries(self, geometry: &Geometry, kernel: &[f32], entries: Range<u64>) -> Vec<f32> {
        let filters = geometry.group_filters() as usize;
        let first = entries.start * filters as u64;
        let mut canonical = vec![0.0; (entries.end - entries.start) as usize * filters];
        self.for_each_run(geometry, entries, |run| {
            let to = &mut canonical[(run.canonical - first) as usize..][..filters];
            for (to, from) in to.iter_mut().zip(kernel[run.keras as usize..].iter().step_by(run.stride as usize)) {
                *to = *from;
            }
        });
        canonical
    }

    /// The Keras variable of canonical weights; unconnected entries of implementation 2 are zero.
    ///
    /// # Errors
    /// As [`KerasLayout::to_canonical`].
    pub fn from_canonical(self, geometry: &Geometry, canonical: &[f32]) -> Result<Vec<f32>> {
        self.check(geometry)?;
        if canonical.len() as u64 != geometry.weights() {
            let shape = vec![geometry.cells() as usize, geometry.window() as usize, geometry.group_filters() as usize];
            let found = canonical.len() as u64;
            return Err(Error::Length { what: "canonical weights", expected: geometry.weights(), found, shape });
        }
        if self.is_canonical(geometry) {
            return Ok(canonical.to_vec());
        }
        let mut kernel = vec![0.0; self.len(geometry) as usize];
        let filters = geometry.group_filters() as usize;
        self.for_each_run(geometry, 0..geometry.entries(), |run| {
            let from = &canonical[run.canonical as usize..][..filters];
            for (to, from) in kernel[run.keras as usize..].iter_mut().step_by(run.stride as usize).zip(from) {
                *to = *from;
            }
        });
        Ok(kernel)
    }

    /// Checks that a Keras variable is as long as [`KerasLayout::len`].
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn check_len(self, geometry: &Geometry, found: usize) -> Result<()> {
        let expected = self.len(geometry);
        if found as u64 != expected {
            return Err(Error::Length { what: "weights", expected, found: found as u64, shape: self.shape(geometry) });
        }
        Ok(())
    }

    /// Calls `visit` with a run for every connection whose entry is among `entries`, location by location.
    fn for_each_run(self, geometry: &Geometry, entries: Range<u64>, mut visit: impl FnMut(Run)) {
        let first = geometry.config().data_format == DataFormat::ChannelsFirst;
        let (groups, channels) = (u64::from(geometry.groups()), u64::from(geometry.group_channels()));
        let (filters, group_filters) = (u64::from(geometry.filters()), u64::from(geometry.group_filters()));
        let (locations, taps, window) =
            (u64::from(geometry.locations()), u64::from(geometry.taps()), u64::from(geometry.window()));
        // For implementation 3: the number of connected taps of all locations before `p`.
        let mut before = 0u64;
        let connected = geometry.connected_taps();
        let of_location = groups * window;
        for p in 0..locations.min(entries.end.div_ceil(of_location)) {
            let valid = (0..taps).filter(|&t| geometry.tap(p as u32, t as u32).is_some()).count() as u64;
            if (p + 1) * of_location <= entries.start {
                before += valid;
                continue;
            }
            let mut rank = 0u64;
            for t in 0..taps {
                let Some(position) = geometry.tap(p as u32, t as u32) else { continue };
                for g in 0..groups {
                    for c in 0..channels {
                        let entry = ((p * groups + g) * taps + t) * channels + c;
                        if !entries.contains(&entry) {
                            continue;
                        }
                        let canonical = entry * group_filters;
                        let f = g * group_filters;
                        let (keras, stride) = match (self, first) {
                            (Self::Implementation1, false) => ((p * window + t * channels + c) * filters + f, 1),
                            (Self::Implementation1, true) => ((p * window + c * taps + t) * filters + f, 1),
                            (Self::Implementation2, _) => {
                                let input = geometry.input_index(position, (g * channels + c) as u32);
                                let output = geometry.output_index(p as u32, f as u32);
                                let stride = if first { locations } else { 1 };
                                (input * geometry.outputs() + output, stride)
                            }
                            // Rows (output units) are ordered by location, then filter; entries by tap, then channel.
                            (Self::Implementation3, false) => {
                                let row = valid * channels;
                                (before * channels * filters + f * row + rank * channels + c, row)
                            }
                            // Rows (output units) are ordered by filter, then location; entries by channel, then tap.
                            (Self::Implementation3, true) => {
                                let filter = connected * channels;
                                (f * filter + before * channels + c * valid + rank, filter)
                            }
                        };
                        visit(Run { canonical, keras, stride });
                    }
                }
                rank += 1;
            }
            before += valid;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn shapes_equal_keras() -> Result<()> {
        use DataFormat::{ChannelsFirst, ChannelsLast};
        use KerasLayout::{Implementation1, Implementation2, Implementation3};
        let one = Geometry::new(&Config::new(4, [3]), &[8, 5])?;
        assert_eq!(Implementation1.shape(&one), [6, 15, 4]);
        assert_eq!(Implementation2.shape(&one), [8, 5, 6, 4]);
        assert_eq!(Implementation3.shape(&one), [360]);
        let one = Geometry::new(&Config::new(4, [3]).data_format(ChannelsFirst), &[5, 8])?;
        assert_eq!(Implementation2.shape(&one), [5, 8, 4, 6]);
        for (format, input, dense) in
            [(ChannelsLast, [6, 10, 4], [6, 10, 4, 4, 5, 3]), (ChannelsFirst, [4, 6, 10], [4, 6, 10, 3, 4, 5])]
        {
            let config = Config::new(3, [3, 2]).strides([1, 2]).data_format(format);
            let two = Geometry::new(&config, &input)?;
            assert_eq!(Implementation1.shape(&two), [20, 24, 3]);
            assert_eq!(Implementation2.shape(&two), dense);
            assert_eq!(Implementation3.shape(&two), [1440]);
            let same = Geometry::new(&config.padding(Padding::Same), &input)?;
            assert_eq!(same.output_spatial(), [6, 5]);
            assert_eq!(Implementation3.shape(&same), [1728]);
        }
        Ok(())
    }

    /// The orders of implementation 3 that docs/keras-semantics.md §4 lists, as (output unit, input unit).
    #[test]
    fn sparse_order_is_lexicographic() -> Result<()> {
        let last = Geometry::new(&Config::new(2, [2]), &[4, 1])?;
        let first = Geometry::new(&Config::new(2, [2]).data_format(DataFormat::ChannelsFirst), &[2, 3])?;
        let pairs = |geometry: &Geometry| {
            let mut pairs = vec![(0, 0); geometry.connected_weights() as usize];
            KerasLayout::Implementation3.for_each_run(geometry, 0..geometry.entries(), |run| {
                let cell = run.canonical / u64::from(geometry.window() * geometry.filters());
                let k = run.canonical / u64::from(geometry.filters()) % u64::from(geometry.window());
                let (t, c) = ((k as u32) / geometry.channels(), k as u32 % geometry.channels());
                let position = geometry.tap(cell as u32, t).unwrap_or(u32::MAX);
                for f in 0..geometry.filters() {
                    pairs[(run.keras + u64::from(f) * run.stride) as usize] =
                        (geometry.output_index(cell as u32, f), geometry.input_index(position, c));
                }
            });
            pairs
        };
        let expected = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (4, 2), (4, 3), (5, 2), (5, 3)];
        assert_eq!(pairs(&last), expected);
        let expected = [0, 1, 3, 4].map(|i| (0, i)).into_iter().chain([1, 2, 4, 5].map(|i| (1, i)));
        let expected: Vec<_> =
            expected.chain([0, 1, 3, 4].map(|i| (2, i))).chain([1, 2, 4, 5].map(|i| (3, i))).collect();
        assert_eq!(pairs(&first), expected);
        Ok(())
    }
}
