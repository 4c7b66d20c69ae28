//! Which weights share a norm: the meaning of Keras's `axis` of a constraint for canonical weights.
//!
//! Keras takes norms over some axes of a variable as it stores it: weights share a norm if their indices along all
//! other axes are equal. Those indices are numbered, and each row of canonical weights has such a number. They are the
//! [`Groups`] of a parameter.

use super::size::fits_u32;
use super::{Geometry, KerasLayout, SharedLayout};
use crate::config::{Axes, DataFormat};
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// For each row of a parameter, the group whose norm its weights belong to. A row has a weight for each filter of a
/// cell or connection; in parameters that aren't weights each element is a row.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Written", into = "Written"))]
pub struct Groups {
    of_row: Arc<[u32]>,
    count: u32,
    by_filter: bool,
}

/// The axes of a Keras variable that norms are taken over.
struct Reduced {
    /// For each axis of the variable, whether norms are taken over it.
    along: Vec<bool>,
}

impl Reduced {
    /// # Errors
    /// [`Error::UnknownValue`] for an axis that the variable doesn't have, or that is given twice: TensorFlow refuses
    /// both.
    fn new(axes: &Axes, shape: &[usize]) -> Result<Self> {
        let list = match axes {
            Axes::One(axis) => std::slice::from_ref(axis),
            Axes::Several(axes) => axes,
        };
        let mut along = vec![false; shape.len()];
        for &axis in list {
            let counted = if axis < 0 { axis + shape.len() as i64 } else { axis };
            let found = usize::try_from(counted).ok().and_then(|at| along.get_mut(at)).filter(|taken| !**taken);
            let Some(taken) = found else {
                let value = format!("{axis} of the variable of shape {shape:?}");
                let expected = "axes of the variable, each once; from the end where below 0";
                return Err(Error::UnknownValue { argument: "axis", expected, value });
            };
            *taken = true;
        }
        Ok(Self { along })
    }

    /// Whether different indices along this axis are different groups.
    fn keeps(&self, axis: usize) -> bool {
        !self.along[axis]
    }

    /// The axes from `first` on, which have these sizes.
    fn axes(&self, first: usize, sizes: impl IntoIterator<Item = u32>) -> Vec<Axis> {
        sizes.into_iter().zip(first..).map(|(size, axis)| Axis { kept: self.keeps(axis), size }).collect()
    }
}

/// An axis of a variable.
struct Axis {
    /// Whether different indices along it are different groups.
    kept: bool,
    size: u32,
}

/// A number for the indices that tell groups apart, made digit by digit.
#[derive(Default)]
struct Key(u64);

impl Key {
    /// Appends an index below `size`, if it tells groups apart.
    fn index(self, kept: bool, index: u32, size: u32) -> Self {
        if kept { Self(self.0.saturating_mul(size.into()).saturating_add(index.into())) } else { self }
    }

    /// Appends the indices of an element along some axes, of which the last is the innermost.
    fn indices(self, axes: &[Axis], element: u32) -> Self {
        let (mut key, mut rest) = (self, element);
        for &Axis { kept, size } in axes.iter().rev() {
            key = key.index(kept, rest % size, size);
            rest /= size;
        }
        key
    }
}

impl Groups {
    /// The group of a row that belongs to none.
    pub const NONE: u32 = u32::MAX;

    /// Groups by the number of each row, from 0 without gaps, or [`Groups::NONE`]. With `by_filter` each filter has
    /// norms of its own.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for more rows than 32 bits count, [`Error::Shape`] for numbers with gaps.
    pub fn new(of_row: impl Into<Arc<[u32]>>, by_filter: bool) -> Result<Self> {
        let of_row = of_row.into();
        fits_u32("the number of rows of a parameter", of_row.len() as u128)?;
        let count = of_row.iter().filter(|group| **group != Self::NONE).max().map_or(0, |last| last + 1);
        let mut found = vec![false; (count as usize).min(of_row.len())];
        for &group in of_row.iter().filter(|group| **group != Self::NONE) {
            if let Some(found) = found.get_mut(group as usize) {
                *found = true;
            }
        }
        if found.len() != count as usize || found.contains(&false) {
            return Err(Error::Shape {
                what: "groups of weights".into(),
                expected: "numbers from 0 without gaps".into(),
                found: vec![of_row.len(), count as usize],
            });
        }
        Ok(Self { of_row, count, by_filter })
    }

    /// Groups of rows with equal keys, numbered in the order in which they appear.
    fn by_key(rows: u64, by_filter: bool, key: impl Fn(u32) -> Option<Key>) -> Result<Self> {
        let rows = fits_u32("the number of rows of a parameter", rows.into())? as u32;
        let mut numbers: HashMap<u64, u32> = HashMap::new();
        let of_row = (0..rows).map(|row| {
            key(row).map_or(Self::NONE, |Key(key)| {
                let next = numbers.len() as u32;
                *numbers.entry(key).or_insert(next)
            })
        });
        let of_row: Arc<[u32]> = of_row.collect();
        Ok(Self { of_row, count: numbers.len() as u32, by_filter })
    }

    /// The groups of a variable that programs lay out as Keras does, such as a bias or gamma; each element is a row.
    ///
    /// # Errors
    /// [`Error::UnknownValue`] for axes that it doesn't have; [`Error::TooLarge`].
    pub fn of_variable(shape: &[usize], axes: &Axes) -> Result<Self> {
        let axes = Reduced::new(axes, shape)?.axes(0, shape.iter().map(|&size| size as u32));
        let elements = shape.iter().fold(1u64, |all, &size| all.saturating_mul(size as u64));
        Self::by_key(elements, false, |element| Some(Key::default().indices(&axes, element)))
    }

    /// The groups of weights `[rows][filters]` that Keras stores as `shape`, of which the last axis are the filters;
    /// for a user's connectivity that is `[connections, filters]`.
    ///
    /// # Errors
    /// As [`Groups::of_variable`].
    pub fn of_rows(shape: &[usize], axes: &Axes) -> Result<Self> {
        let reduced = Reduced::new(axes, shape)?;
        let Some((_, rows)) = shape.split_last() else { return Self::of_variable(shape, axes) };
        let count = rows.iter().fold(1u64, |all, &size| all.saturating_mul(size as u64));
        let kept = reduced.axes(0, rows.iter().map(|&size| size as u32));
        Self::by_key(count, reduced.keeps(rows.len()), |row| Some(Key::default().indices(&kept, row)))
    }

    /// The groups of a locally connected layer's canonical weights, where `axes` are Keras's for the variable in this
    /// layout. Weights of clipped taps, which Keras doesn't have, belong to no group. (In implementation 2 Keras's
    /// norms also contain the entries that aren't connected; here these count as 0.)
    ///
    /// # Errors
    /// As [`Groups::of_variable`], and those of [`KerasLayout::check`].
    pub fn of_local(layer: &Geometry, layout: KerasLayout, axes: &Axes) -> Result<Self> {
        layout.check(layer)?;
        let reduced = Reduced::new(axes, &layout.shape(layer))?;
        let [groups, window, channels] = [layer.groups(), layer.window(), layer.group_channels()];
        match layout {
            KerasLayout::Implementation1 => {
                let [place, taps, filter] = [0, 1, 2].map(|axis| reduced.keeps(axis));
                Self::by_key(layer.entries(), filter, |row| {
                    let (cell, tap) = (row / window, row % window);
                    let key = Key::default().index(place, cell / groups, layer.locations());
                    // The filter tells groups of channels apart.
                    Some(key.index(filter, cell % groups, groups).index(taps, tap, window))
                })
            }
            KerasLayout::Implementation2 => {
                let last = layer.config().data_format == DataFormat::ChannelsLast;
                let rank = layer.config().rank();
                // The axes of the variable: those of the input, then those of the output, with the channels first or
                // last in each.
                let (first, channel) = if last { (0, rank) } else { (1, 0) };
                let beyond = rank + 1;
                let axes = layer.axes().map_or(&[][..], |axes| &axes[3 - rank..]);
                let inputs = reduced.axes(first, axes.iter().map(|axis| axis.input));
                let outputs = reduced.axes(beyond + first, axes.iter().map(|axis| axis.output));
                let [channel, filter] = [channel, beyond + channel].map(|axis| reduced.keeps(axis));
                Self::by_key(layer.entries(), filter, |row| {
                    let (cell, within) = (row / window, row % window);
                    let (location, group) = (cell / groups, cell % groups);
                    let position = layer.tap(location, within / channels)?;
                    let key = Key::default().indices(&outputs, location).indices(&inputs, position);
                    let key = key.index(channel, group * channels + within % channels, layer.channels());
                    Some(key.index(filter && !channel, group, groups))
                })
            }
            KerasLayout::Implementation3 => {
                let each = reduced.keeps(0);
                Self::by_key(layer.entries(), each, |row| {
                    let (location, tap) = (row / window / groups, row % window / channels);
                    layer.tap(location, tap)?;
                    Some(Key::default().index(each, row, u32::MAX))
                })
            }
        }
    }

    /// The groups of the canonical weights of a convolution or a dense layer, where `axes` are Keras's for its kernel.
    ///
    /// # Errors
    /// As [`Groups::of_variable`], and those of [`SharedLayout::check`].
    pub fn of_shared(layer: &Geometry, layout: SharedLayout, axes: &Axes) -> Result<Self> {
        layout.check(layer)?;
        let shape = layout.shape(layer);
        let reduced = Reduced::new(axes, &shape)?;
        let (rank, window, channels) = (shape.len() - 2, layer.window(), layer.group_channels());
        let taps = reduced.axes(0, shape[..rank].iter().map(|&taps| taps as u32));
        let [channel, filter] = [rank, rank + 1].map(|axis| reduced.keeps(axis));
        // The filter tells groups of channels apart; in depthwise kernels the channel does.
        let group = if layout == SharedLayout::Depthwise { channel } else { filter };
        Self::by_key(layer.entries(), filter, |row| {
            let (cell, within) = (row / window, row % window);
            let key = Key::default().index(group, cell, layer.groups()).index(channel, within % channels, channels);
            Some(key.indices(&taps, within / channels))
        })
    }

    /// The group of each row, or [`Groups::NONE`].
    #[must_use]
    pub fn of_row(&self) -> &[u32] {
        &self.of_row
    }

    /// [`Groups::of_row`], shared.
    #[cfg(feature = "models")]
    pub(crate) fn shared_rows(&self) -> &Arc<[u32]> {
        &self.of_row
    }

    /// Rows of the parameter.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.of_row.len()
    }

    /// How many groups there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether each filter has norms of its own.
    #[must_use]
    pub fn by_filter(&self) -> bool {
        self.by_filter
    }

    /// How many norms a parameter with so many filters has: `[groups][filters]`, or `[groups]` if filters share norms.
    #[must_use]
    pub fn norms(&self, filters: u64) -> u64 {
        u64::from(self.count).saturating_mul(if self.by_filter { filters } else { 1 })
    }
}

/// What is written of groups.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
struct Written {
    of_row: Arc<[u32]>,
    by_filter: bool,
}

#[cfg(feature = "serde")]
impl From<Groups> for Written {
    fn from(groups: Groups) -> Self {
        Self { of_row: groups.of_row, by_filter: groups.by_filter }
    }
}

#[cfg(feature = "serde")]
impl TryFrom<Written> for Groups {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        Self::new(written.of_row, written.by_filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Padding};

    /// A Keras variable whose elements are their own numbers, from 1.
    struct Numbered {
        shape: Vec<usize>,
        /// Where they lie among canonical weights.
        places: Vec<f32>,
        filters: usize,
    }

    /// Which weights share a norm, by Keras's own variable: two weights share one if and only if their indices along all axes that
    /// are kept do.
    fn assert_as_keras(variable: &Numbered, groups: &Groups, axes: &[usize]) {
        let Numbered { shape, places, filters } = variable;
        let mut norms: HashMap<Vec<usize>, (usize, usize)> = HashMap::new();
        let mut found: HashMap<(usize, usize), Vec<usize>> = HashMap::new();
        for (weight, place) in places.iter().enumerate() {
            let group = groups.of_row()[weight / filters];
            // A 0 is a clipped tap.
            assert_eq!(*place == 0.0, group == Groups::NONE, "weight {weight}");
            if group == Groups::NONE {
                continue;
            }
            let mut rest = *place as usize - 1;
            let mut kept = Vec::new();
            for (axis, size) in shape.iter().enumerate().rev() {
                if !axes.contains(&axis) {
                    kept.push(rest % size);
                }
                rest /= size;
            }
            let norm = (group as usize, if groups.by_filter() { weight % filters } else { 0 });
            assert_eq!(*norms.entry(kept.clone()).or_insert(norm), norm, "weight {weight} along {axes:?}");
            assert_eq!(*found.entry(norm).or_insert(kept.clone()), kept, "weight {weight} along {axes:?}");
        }
    }

    /// All lists of a variable's axes.
    fn all_axes(rank: usize) -> Vec<Vec<usize>> {
        (0..1usize << rank).map(|bits| (0..rank).filter(|axis| bits >> axis & 1 == 1).collect()).collect()
    }

    fn numbers(count: u64) -> Vec<f32> {
        (1..=count).map(|number| number as f32).collect()
    }

    #[test]
    fn groups_are_keras_s() -> Result<()> {
        use DataFormat::{ChannelsFirst, ChannelsLast};
        let mut compared = 0;
        for format in [ChannelsLast, ChannelsFirst] {
            for (config, sizes) in [
                (Config::new(3, [3]), vec![5]),
                (Config::new(3, [3]).padding(Padding::Same).strides([2]), vec![5]),
                (Config::new(4, [2, 3]).strides([1, 2]).groups(2), vec![3, 5]),
                (Config::new(2, [2, 2]).padding(Padding::Same), vec![3, 2]),
                (Config::new(2, [2, 1, 2]), vec![2, 2, 3]),
            ] {
                let channels = 2;
                let shape = match format {
                    ChannelsLast => [&sizes[..], &[channels]].concat(),
                    ChannelsFirst => [&[channels], &sizes[..]].concat(),
                };
                let layer = Geometry::new(&config.data_format(format), &shape)?;
                for layout in [KerasLayout::Implementation1, KerasLayout::Implementation2, KerasLayout::Implementation3]
                {
                    if layout.check(&layer).is_err() {
                        continue;
                    }
                    let shape = layout.shape(&layer);
                    let places = layout.to_canonical(&layer, &numbers(layout.len(&layer)))?;
                    let variable = Numbered { shape, places, filters: layer.group_filters() as usize };
                    let rank = variable.shape.len();
                    for axes in all_axes(rank) {
                        // From the end as well.
                        let listed = axes.iter().map(|&axis| axis as i64 - (axis % 2 * rank) as i64).collect();
                        let groups = Groups::of_local(&layer, layout, &Axes::Several(listed))?;
                        assert_as_keras(&variable, &groups, &axes);
                        compared += 1;
                    }
                }
            }
        }
        assert!(compared > 500, "{compared}");
        Ok(())
    }

    #[test]
    fn groups_of_shared_weights_are_keras_s() -> Result<()> {
        let convolution = Geometry::convolution(&Config::new(6, [2, 3]).groups(2), &[4, 5, 4])?;
        let depthwise = Geometry::convolution(&Config::new(6, [2]).groups(3), &[5, 3])?;
        let dense = Geometry::dense(3, &[4, 5], true, crate::config::Activation::Linear)?;
        for (layer, layout) in [
            (convolution, SharedLayout::Convolution),
            (depthwise, SharedLayout::Depthwise),
            (dense, SharedLayout::Dense),
        ] {
            let shape = layout.shape(&layer);
            let places = layout.to_canonical(&layer, &numbers(layer.weights()))?;
            let variable = Numbered { shape, places, filters: layer.group_filters() as usize };
            for axes in all_axes(variable.shape.len()) {
                let listed = axes.iter().map(|&axis| axis as i64).collect();
                let groups = Groups::of_shared(&layer, layout, &Axes::Several(listed))?;
                assert_as_keras(&variable, &groups, &axes);
            }
        }
        Ok(())
    }

    #[test]
    fn axes_that_a_variable_has_not_are_refused() {
        for axes in [Axes::One(3), Axes::One(-4), Axes::Several(vec![0, -3]), Axes::Several(vec![1, 1])] {
            let refused = Groups::of_variable(&[2, 3, 4], &axes);
            assert!(matches!(refused, Err(Error::UnknownValue { argument: "axis", .. })), "{refused:?}");
        }
        assert!(Groups::new(vec![0, 2], false).is_err());
        assert!(Groups::new(vec![u32::MAX - 1], false).is_err());
    }
}
