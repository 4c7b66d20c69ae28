//! Checks a layer's results: random elements of each, drawn from a seed, are compared with the f64 reference's.

use super::noise::HostNoise;
use super::stats::SEED;
use super::workloads::Dtype;
use crate::failure::Failure;
use crate::random::Random;
use half::f16;
use locally_connected::geometry::Geometry;
use locally_connected::headless::Gpu;
use locally_connected::reference::{
    Elements, grad_bias_element, local_forward_element, local_grad_input_element, local_grad_weights_element,
};
use locally_connected::{BufferRange, Error, Readback, Tensor, wgpu};
use pollster::block_on;

/// How many elements of each result are checked.
const ELEMENTS: usize = 64;

/// A result of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Result {
    Output,
    GradInput,
    GradWeights,
    GradBias,
}

impl Result {
    pub(super) const GRADIENTS: [Self; 3] = [Self::GradInput, Self::GradWeights, Self::GradBias];
}

/// A layer whose operands all come from the same random values.
pub(super) struct Layer<'a> {
    pub(super) geometry: &'a Geometry,
    pub(super) dtype: Dtype,
    pub(super) batch: u32,
    pub(super) values: &'a HostNoise,
}

/// The values of a result at these elements.
pub(super) type Found<'a> = Box<dyn Fn(Result, &[u64]) -> std::result::Result<Vec<f32>, Failure> + 'a>;

/// Where an element of a result is on a device: a range, and the offset within it in bytes.
pub(super) type Place<'r> = Option<(BufferRange<'r>, u64)>;

/// Reads elements of results on a device.
pub(super) fn of_gpu<'a, 'r: 'a>(gpu: &'a Gpu, place: impl Fn(Result, u64) -> Place<'r> + 'a) -> Found<'a> {
    Box::new(move |result, elements| {
        let places = elements.iter().map(|&element| place(result, element));
        Ok(picked(gpu, &places.collect::<Vec<_>>())?)
    })
}

/// Where an element of a buffer is.
pub(super) fn in_buffer(buffer: &wgpu::Buffer, element: u64) -> Place<'_> {
    Some((buffer.slice(..).into(), 4 * element))
}

/// Where an element of weights is. Its number is that in canonical order; the weights are cut as the device's limits
/// need.
pub(super) fn in_tensor<'t>(layer: &Geometry, tensor: &'t Tensor, element: u64) -> Place<'t> {
    let filters = u64::from(layer.group_filters());
    let (entry, filter) = (element / filters, (element % filters) as u32);
    let (chunk, range) = tensor.chunks().iter().zip(tensor.ranges()).find(|(chunk, _)| {
        let entries = chunk.first_entry..chunk.first_entry + chunk.entries;
        let filters = chunk.first_filter..chunk.first_filter + chunk.filters;
        entries.contains(&entry) && filters.contains(&filter)
    })?;
    let before = (entry - chunk.first_entry) * u64::from(chunk.filters) + u64::from(filter - chunk.first_filter);
    Some((range, 4 * before))
}

/// Copies elements to the host; 0 for an element without a place.
pub(super) fn picked(gpu: &Gpu, places: &[Place<'_>]) -> std::result::Result<Vec<f32>, Error> {
    let picked = gpu.empty(places.len() as u64);
    let mut readback = block_on(Readback::new(gpu.context().device(), &picked))?;
    gpu.submit(|encoder| {
        for (place, to) in places.iter().zip((0..).step_by(4)) {
            if let Some((range, before)) = place {
                encoder.copy_buffer_to_buffer(range.buffer, range.offset + before, &picked, to, 4);
            }
        }
        readback.record(encoder)
    })?;
    block_on(gpu.drive(readback.values()))
}

impl Layer<'_> {
    /// The largest error of these results, relative to the largest value that each should have.
    pub(super) fn worst(&self, results: &[Result], found: Found<'_>) -> std::result::Result<f64, Failure> {
        let mut worst = 0.0f64;
        for &result in results {
            let count = self.count(result);
            if count == 0 {
                continue;
            }
            let mut random = Random::new(SEED);
            let elements: Vec<u64> = (0..ELEMENTS).map(|_| random.below(count as usize) as u64).collect();
            let found = found(result, &elements)?;
            let expected: Vec<f64> = elements.iter().map(|&element| self.expected(result, element)).collect();
            worst = worst.max(distance(&found, &expected));
        }
        Ok(worst)
    }

    fn count(&self, result: Result) -> u64 {
        let (layer, batch) = (self.geometry, u64::from(self.batch));
        match result {
            Result::Output => batch * layer.outputs(),
            Result::GradInput => batch * layer.inputs(),
            Result::GradWeights => layer.weights(),
            Result::GradBias => layer.biases(),
        }
    }

    fn expected(&self, result: Result, element: u64) -> f64 {
        let value = |index: u64| f64::from(self.values.at(index));
        let stored = |index: u64| match self.dtype {
            Dtype::F32 => value(index),
            Dtype::F16 => f16::from_f32(self.values.at(index)).into(),
        };
        let operands =
            Elements { input: &value, weights: &stored, bias: &value, grad_output: &value, batch: self.batch };
        let of = match result {
            Result::Output => local_forward_element,
            Result::GradInput => local_grad_input_element,
            Result::GradWeights => local_grad_weights_element,
            Result::GradBias => grad_bias_element,
        };
        of(self.geometry, &operands, element)
    }
}

/// The largest error, relative to the largest expected value; infinite if something found isn't a number.
pub(super) fn distance(found: &[f32], expected: &[f64]) -> f64 {
    let largest = expected.iter().fold(f64::MIN_POSITIVE, |most, value| most.max(value.abs()));
    let off = found.iter().zip(expected).map(|(found, expected)| (f64::from(*found) - expected).abs());
    let worst = off.fold(0.0, |worst: f64, off| if off.is_nan() { f64::INFINITY } else { worst.max(off) });
    if found.len() == expected.len() { worst / largest } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::super::workloads;
    use super::*;
    use locally_connected::reference::{PassOperands, passes};

    #[test]
    fn what_is_right_is_near_and_what_is_not_is_far() -> std::result::Result<(), Failure> {
        let values = HostNoise::new();
        let workload = workloads::all().nth(3).ok_or_else(|| Failure::machine("a workload"))?;
        let geometry = workload.geometry(None, Dtype::F32)?;
        let of = |count: u64| values.values(count);
        let (x, dy) = (of(2 * geometry.inputs()), of(2 * geometry.outputs()));
        let (weights, bias) = (of(geometry.weights()), of(geometry.biases()));
        let all = passes(&geometry, PassOperands { input: &x, weights: &weights, bias: &bias, grad_output: &dy })?;
        let layer = Layer { geometry: &geometry, dtype: Dtype::F32, batch: 2, values: &values };
        let results = [Result::Output, Result::GradInput, Result::GradWeights, Result::GradBias];
        for wrong in [None, Some(Result::GradInput), Some(Result::GradBias)] {
            let found: Found<'_> = Box::new(|result, elements| {
                let whole = match result {
                    Result::Output => &all.output,
                    Result::GradInput => &all.grad_input,
                    Result::GradWeights => &all.grad_weights,
                    Result::GradBias => &all.grad_bias,
                };
                let factor = if Some(result) == wrong { 1.01 } else { 1.0 };
                Ok(elements.iter().map(|&element| (factor * whole[element as usize]) as f32).collect())
            });
            let worst = layer.worst(&results, found)?;
            assert!(if wrong.is_some() { worst > 1e-3 } else { worst < 1e-6 }, "{worst} with {wrong:?} wrong");
        }
        assert_eq!([distance(&[f32::NAN], &[1.0]), distance(&[], &[1.0])], [f64::INFINITY; 2]);
        Ok(())
    }
}
