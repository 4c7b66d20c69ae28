//! Weights of layers that aren't locally connected, as files store them.

use crate::error::Problem;
use crate::reading::Reading;
use locally_connected::geometry::SharedLayout;
use locally_connected::{DataFormat, Geometry, Result};
use std::sync::Arc;

/// A weight of a layer, as the file stores it.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    /// Keras's name of it, such as `gamma`.
    pub name: &'static str,
    /// The shape that the file stores.
    pub shape: Vec<usize>,
    /// The values, in that shape.
    pub values: Vec<f32>,
    pub(crate) form: Form,
}

/// What a layer's class says about one of its weights.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expected {
    pub name: &'static str,
    pub shape: Vec<usize>,
    pub form: Form,
}

/// How a stored weight becomes a parameter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Form {
    /// Unchanged, and learned.
    Plain,
    /// Unchanged, and a statistic that isn't learned.
    Statistic,
    /// Weights of windows that all locations share.
    Windows(SharedLayout, Arc<Geometry>),
}

impl Expected {
    pub(crate) fn plain(name: &'static str, shape: impl Into<Vec<usize>>) -> Self {
        Self { name, shape: shape.into(), form: Form::Plain }
    }

    pub(crate) fn statistic(name: &'static str, shape: impl Into<Vec<usize>>) -> Self {
        Self { name, shape: shape.into(), form: Form::Statistic }
    }

    pub(crate) fn windows(name: &'static str, layout: SharedLayout, geometry: Arc<Geometry>) -> Self {
        Self { name, shape: layout.shape(&geometry), form: Form::Windows(layout, geometry) }
    }

    /// How many axes of the window come first in the kernel's shape; 0 for what isn't a convolution's.
    fn spatial(&self) -> usize {
        match &self.form {
            Form::Windows(SharedLayout::Convolution | SharedLayout::Depthwise, _) => self.shape.len().saturating_sub(2),
            _ => 0,
        }
    }

    /// The order of axes in which Keras 1 stored a convolution's kernel, if it differs from today's: for each axis of
    /// our shape its place in the stored one. Keras 1's kernels of one spatial axis have a second one of one position.
    /// With more axes the data format decides, as in Keras's `preprocess_weights_for_loading`: if all sizes are equal,
    /// shapes don't tell.
    fn keras1(&self, found: &[usize]) -> Option<Vec<usize>> {
        let Form::Windows(_, geometry) = &self.form else { return None };
        let order: &[usize] = match (self.spatial(), found.len(), geometry.config().data_format) {
            (1, 4, _) => &[0, 2, 3],
            // Filters, channels, rows, columns.
            (2, 4, DataFormat::ChannelsFirst) => &[2, 3, 1, 0],
            (3, 5, DataFormat::ChannelsFirst) => &[2, 3, 4, 1, 0],
            _ => return None,
        };
        let moved: Vec<usize> = order.iter().filter_map(|&at| found.get(at).copied()).collect();
        let all = |shape: &[usize]| shape.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
        (moved == self.shape && all(found) == all(&moved)).then(|| order.to_vec())
    }

    /// The shape, in today's order, of an array of the file's, which older Keras stored in another order.
    pub(crate) fn stored_shape(&self, found: &[usize], reading: &Reading) -> Vec<usize> {
        match self.keras1(found).filter(|_| reading.is_keras1) {
            Some(_) => self.shape.clone(),
            None => found.to_vec(),
        }
    }

    /// The weight with these values, which have the shape `found` in the file.
    pub(crate) fn with(self, found: &[usize], mut values: Vec<f32>, reading: &Reading) -> Result<Weight, Problem> {
        if let Some(order) = self.keras1(found).filter(|_| reading.is_keras1) {
            values = transposed(&values, found, &order);
        } else if self.shape != found {
            return Err(Problem::Shape { what: self.name, expected: self.shape, found: found.to_vec() });
        }
        // Of depthwise kernels Keras on Theano undoes the flip itself.
        if reading.flipped && matches!(self.form, Form::Windows(SharedLayout::Convolution, _)) {
            flip(&mut values, self.shape.get(..self.spatial()).unwrap_or_default());
        }
        let Self { name, shape, form } = self;
        Ok(Weight { name, shape, values, form })
    }
}

/// The values with their axes in another order. Axes that are left out have one position.
fn transposed(values: &[f32], shape: &[usize], order: &[usize]) -> Vec<f32> {
    let stride = |axis: usize| shape.iter().skip(axis + 1).product::<usize>();
    let axes: Vec<(usize, usize)> =
        order.iter().map(|&axis| (shape.get(axis).copied().unwrap_or(1), stride(axis))).collect();
    let place = |mut index: usize| {
        let mut at = 0;
        for &(size, stride) in axes.iter().rev() {
            at += index % size * stride;
            index /= size;
        }
        at
    };
    (0..values.len()).map(|index| values.get(place(index)).copied().unwrap_or(0.0)).collect()
}

/// Flips windows in space, along all of their axes, which come first.
fn flip(values: &mut [f32], spatial: &[usize]) {
    let taps: usize = spatial.iter().product();
    let Some(each) = values.len().checked_div(taps).filter(|_| !spatial.is_empty()) else { return };
    // The first tap and the last are exchanged, the second and the last but one, and so on.
    for tap in 0..taps / 2 {
        let (front, back) = values.split_at_mut((taps - 1 - tap) * each);
        if let (Some(front), Some(back)) = (front.get_mut(tap * each..(tap + 1) * each), back.get_mut(..each)) {
            front.swap_with_slice(back);
        }
    }
}

impl Weight {
    /// Whether it has a gradient if its layer is trained.
    pub(crate) fn is_learned(&self) -> bool {
        self.form != Form::Statistic
    }

    /// The parameter's values in programs.
    ///
    /// # Errors
    /// [`locally_connected::Error::Length`] for another number of values than the shape has.
    pub fn canonical(&self) -> Result<Vec<f32>> {
        self.canonical_of(&self.values)
    }

    /// From values laid out as in the file to values laid out as in programs.
    pub(crate) fn canonical_of(&self, stored: &[f32]) -> Result<Vec<f32>> {
        match &self.form {
            Form::Plain | Form::Statistic => Ok(stored.to_vec()),
            Form::Windows(layout, geometry) => layout.to_canonical(geometry, stored),
        }
    }

    /// As [`Weight::canonical`], moved out if both layouts are the same.
    pub(crate) fn take_canonical(&mut self) -> Result<Vec<f32>> {
        let values = std::mem::take(&mut self.values);
        match &self.form {
            Form::Plain | Form::Statistic => Ok(values),
            Form::Windows(layout, geometry) => layout.into_canonical(geometry, values),
        }
    }

    /// From a parameter's values in programs, or its gradient's, to what the file would store.
    ///
    /// # Errors
    /// [`locally_connected::Error::Length`] for another number of values than the shape has.
    pub fn stored(&self, canonical: &[f32]) -> Result<Vec<f32>> {
        match &self.form {
            Form::Plain | Form::Statistic => Ok(canonical.to_vec()),
            Form::Windows(layout, geometry) => layout.from_canonical(geometry, canonical),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_turn_and_their_axes_move() {
        let mut values: Vec<f32> = (0..12u8).map(f32::from).collect();
        flip(&mut values, &[2, 3]);
        assert_eq!(values, [10.0, 11.0, 8.0, 9.0, 6.0, 7.0, 4.0, 5.0, 2.0, 3.0, 0.0, 1.0]);
        // (filters 2, channels 1, rows 1, columns 3) to (rows, columns, channels, filters).
        let values: Vec<f32> = (0..6u8).map(f32::from).collect();
        assert_eq!(transposed(&values, &[2, 1, 1, 3], &[2, 3, 1, 0]), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(transposed(&values, &[3, 1, 1, 2], &[0, 2, 3]), values);
    }
}
