//! The parts of a layer that are drawn: its weights and bias by location, and how similar neighbouring locations are.

use crate::arrays::tuple;
use crate::failure::Failure;
use locally_connected::geometry::AxisTaps;
use locally_connected::{Bias, Geometry};
use locally_connected_keras::{FileLayer, Local};
use std::borrow::Cow;

/// A locally connected layer of one or two spatial axes.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    pub(super) name: &'a str,
    pub(super) class: &'a str,
    pub(super) geometry: &'a Geometry,
    axes: &'a [AxisTaps; 3],
    /// In canonical order.
    weights: Cow<'a, [f32]>,
    bias: Option<&'a [f32]>,
}

/// A filter at a location.
#[derive(Debug, Clone, Copy)]
pub(super) struct FilterAt {
    pub(super) location: usize,
    pub(super) filter: usize,
}

impl<'a> Layer<'a> {
    pub(super) fn new(layer: &'a FileLayer, local: &'a Local) -> Result<Self, Failure> {
        let geometry = &local.geometry;
        let rank = geometry.config().rank();
        let refused = |why: String| Failure::request(format!("layer \"{}\" can't be drawn: {why}", layer.name));
        let axes = geometry.axes().ok_or_else(|| refused("its locations don't lie in space".into()))?;
        if rank > 2 {
            let shape = tuple(&geometry.output_spatial());
            return Err(refused(format!("it has {rank} spatial axes, {shape} locations; a picture has 1 or 2"))
                .with_help("`locally inspect MODEL` tells about it in numbers"));
        }
        let weights = match local.layout.is_canonical(geometry) {
            true => Cow::Borrowed(&local.kernel[..]),
            false => Cow::Owned(local.canonical()?),
        };
        let (name, class) = (layer.name.as_str(), layer.class_name.as_str());
        Ok(Self { name, class, geometry, axes, weights, bias: local.bias.as_deref() })
    }

    /// Rows and columns of locations; one row for a layer of one axis.
    pub(super) fn locations(&self) -> [usize; 2] {
        [1, 2].map(|axis| self.axes[axis].output as usize)
    }

    /// Rows and columns of input positions.
    pub(super) fn positions(&self) -> [usize; 2] {
        [1, 2].map(|axis| self.axes[axis].input as usize)
    }

    /// Rows and columns of a window.
    pub(super) fn window(&self) -> [usize; 2] {
        [1, 2].map(|axis| self.axes[axis].taps as usize)
    }

    pub(super) fn filters(&self) -> usize {
        self.geometry.filters() as usize
    }

    /// How many input channels a filter reads.
    pub(super) fn channels(&self) -> usize {
        self.geometry.group_channels() as usize
    }

    /// The input position that a tap reads, as row and column; none if padding clips it.
    pub(super) fn tap(&self, location: usize, tap: usize) -> Option<[usize; 2]> {
        let position = self.geometry.tap(location as u32, tap as u32)? as usize;
        let [_, columns] = self.positions();
        Some([position / columns, position % columns])
    }

    /// The first and last input row and column that a location reads; none if all taps are clipped.
    pub(super) fn reads(&self, location: usize) -> Option<[[usize; 2]; 2]> {
        let [rows, columns] = self.window();
        let taps = (0..rows * columns).filter_map(|tap| self.tap(location, tap));
        taps.fold(None, |found, [row, column]| {
            let [r, c] = found.unwrap_or([[row; 2], [column; 2]]);
            Some([[r[0].min(row), r[1].max(row)], [c[0].min(column), c[1].max(column)]])
        })
    }

    /// Where the weights of a location and tap begin, for a filter's group. The next channel's are `group_filters`
    /// further.
    fn start(&self, location: usize, group: usize, tap: usize) -> usize {
        let cell = location * self.geometry.groups() as usize + group;
        let cell = self.geometry.weight_cell(cell as u32) as usize;
        (cell * self.geometry.taps() as usize + tap) * self.channels() * self.geometry.group_filters() as usize
    }

    /// A weight of a filter; none if padding clips its tap.
    pub(super) fn weight(&self, of: FilterAt, tap: usize, channel: usize) -> Option<f64> {
        let FilterAt { location, filter } = of;
        self.geometry.tap(location as u32, tap as u32)?;
        let filters = self.geometry.group_filters() as usize;
        let start = self.start(location, filter / filters, tap);
        self.weights.get(start + channel * filters + filter % filters).map(|&weight| weight.into())
    }

    /// The length of a tap's weights over the channels; none if padding clips it.
    pub(super) fn norm(&self, of: FilterAt, tap: usize) -> Option<f64> {
        let squares = (0..self.channels()).map(|channel| self.weight(of, tap, channel).map(|weight| weight * weight));
        squares.sum::<Option<f64>>().map(f64::sqrt)
    }

    pub(super) fn has_bias(&self) -> bool {
        self.bias.is_some()
    }

    /// A filter's bias at a location. It is laid out as the output.
    pub(super) fn bias(&self, location: usize, filter: usize) -> Option<f64> {
        let index = match self.geometry.config().bias {
            Bias::PerFilter => filter,
            _ => self.geometry.output_index(location as u32, filter as u32) as usize,
        };
        self.bias?.get(index).map(|&bias| bias.into())
    }

    /// The mean bias of the filters.
    pub(super) fn mean_bias(&self, location: usize) -> Option<f64> {
        let sum: Option<f64> = (0..self.filters()).map(|filter| self.bias(location, filter)).sum();
        sum.map(|sum| sum / self.filters() as f64)
    }

    /// For each location the mean cosine between its filters and those of its neighbours on the left, right, above and
    /// below. None without a neighbour, or if all weights are zero.
    pub(super) fn similarity(&self) -> Vec<Option<f64>> {
        let [rows, columns] = self.locations();
        let mut sums = vec![(0.0, 0u32); rows * columns];
        for here in 0..rows * columns {
            let right = (here % columns + 1 < columns).then_some(here + 1);
            let below = (here / columns + 1 < rows).then_some(here + columns);
            for there in [right, below].into_iter().flatten() {
                let Some(cosine) = self.cosine(here, there) else { continue };
                for at in [here, there] {
                    if let Some((sum, count)) = sums.get_mut(at) {
                        *sum += cosine;
                        *count += 1;
                    }
                }
            }
        }
        sums.into_iter().map(|(sum, count)| (count > 0).then(|| sum / f64::from(count))).collect()
    }

    /// The mean over the filters of the cosine between two locations' weights, over the taps that both have.
    fn cosine(&self, here: usize, there: usize) -> Option<f64> {
        let (filters, groups) = (self.geometry.group_filters() as usize, self.geometry.groups() as usize);
        let length = self.channels() * filters;
        let clipped = |location: usize, tap: u32| self.geometry.tap(location as u32, tap).is_none();
        let taps: Vec<usize> = (0..self.geometry.taps())
            .filter(|&tap| !clipped(here, tap) && !clipped(there, tap))
            .map(|tap| tap as usize)
            .collect();
        let (mut sum, mut count) = (0.0, 0u32);
        for group in 0..groups {
            let mut products = vec![[0.0f64; 3]; filters];
            for &tap in &taps {
                let weights = [here, there].map(|location| {
                    let start = self.start(location, group, tap);
                    self.weights.get(start..start + length).unwrap_or_default()
                });
                let [a, b] = weights.map(|weights| weights.chunks_exact(filters));
                for (a, b) in a.zip(b) {
                    for (product, (&a, &b)) in products.iter_mut().zip(a.iter().zip(b)) {
                        let (a, b) = (f64::from(a), f64::from(b));
                        *product = [product[0] + a * b, product[1] + a * a, product[2] + b * b];
                    }
                }
            }
            for [ab, aa, bb] in products {
                let cosine = ab / (aa.sqrt() * bb.sqrt());
                if cosine.is_finite() {
                    sum += cosine.clamp(-1.0, 1.0);
                    count += 1;
                }
            }
        }
        (count > 0).then(|| sum / f64::from(count))
    }
}

/// At most `most` numbers below `count`, evenly spaced from the first to the last.
pub(super) fn spread(count: usize, most: usize) -> Vec<usize> {
    if count <= most.max(1) {
        return (0..count).collect();
    }
    if most <= 1 {
        return vec![count / 2];
    }
    (0..most).map(|i| (i * (count - 1) + (most - 1) / 2) / (most - 1)).collect()
}

/// A grid of values. If there are more than a picture can show, neighbours are replaced by their mean.
#[derive(Debug, Clone)]
pub(super) struct Map {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// How many rows and columns of the grid are one row and column of the map.
    pub(super) step: [usize; 2],
    pub(super) values: Vec<Option<f64>>,
}

impl Map {
    /// The grid's values by row and column, reduced to at most `most` rows and columns.
    pub(super) fn new(
        [rows, columns]: [usize; 2],
        most: [usize; 2],
        value: impl Fn(usize, usize) -> Option<f64>,
    ) -> Self {
        let step = [rows.div_ceil(most[0]).max(1), columns.div_ceil(most[1]).max(1)];
        let [to_rows, to_columns] = [rows.div_ceil(step[0]), columns.div_ceil(step[1])];
        let mean = |row: usize, column: usize| {
            let (mut sum, mut count) = (0.0, 0u32);
            for r in row * step[0]..((row + 1) * step[0]).min(rows) {
                for c in column * step[1]..((column + 1) * step[1]).min(columns) {
                    if let Some(value) = value(r, c) {
                        sum += value;
                        count += 1;
                    }
                }
            }
            (count > 0).then(|| sum / f64::from(count))
        };
        let values = (0..to_rows * to_columns).map(|i| mean(i / to_columns, i % to_columns)).collect();
        Self { rows: to_rows, columns: to_columns, step, values }
    }

    pub(super) fn finite(&self) -> impl Iterator<Item = f64> {
        self.values.iter().flatten().copied().filter(|value| value.is_finite())
    }

    /// Column, row and value of each cell.
    pub(super) fn cells(&self) -> impl Iterator<Item = (usize, usize, Option<f64>)> {
        self.values.iter().enumerate().map(|(i, &value)| (i % self.columns, i / self.columns, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_reach_both_ends() {
        assert_eq!(spread(3, 5), [0, 1, 2]);
        assert_eq!(spread(9, 3), [0, 4, 8]);
        assert_eq!(spread(9, 1), [4]);
        assert_eq!(spread(0, 4), [0usize; 0]);
        let many = spread(60_483, 24);
        assert_eq!((many.len(), many[0], many[23]), (24, 0, 60_482));
        assert!(many.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn blocks_become_their_mean() {
        let map = Map::new([3, 4], [2, 2], |r, c| (c < 3).then_some((r * 4 + c) as f64));
        assert_eq!((map.rows, map.columns, map.step), (2, 2, [2, 2]));
        assert_eq!(map.values, [Some(2.5), Some(4.0), Some(8.5), Some(10.0)]);
        assert_eq!(Map::new([2, 2], [9, 9], |_, _| None).values, [None; 4]);
    }
}
