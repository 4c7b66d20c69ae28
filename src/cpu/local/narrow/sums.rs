//! Sums of products along windows, and products added along them.

use pulp::Simd;

/// How many locations are summed at once.
const AT_ONCE: usize = 8;
/// How many partial sums a sum along a window has, on every processor.
pub(super) const PARTS: usize = 4;

/// `a · b + c`, rounded once if the instructions fuse it.
#[inline(always)]
pub(super) fn multiply_add<S: Simd>(a: f32, b: f32, c: f32) -> f32 {
    if S::IS_SCALAR || cfg!(target_family = "wasm") { a * b + c } else { a.mul_add(b, c) }
}

/// Adds to each sum the products of its inputs and weights. Neighbouring sums' inputs and weights are a step apart.
/// `LENGTH` is `length` if it is known when this is compiled, else 0.
#[inline(always)]
pub(super) fn dots<S: Simd, const LENGTH: usize>(
    sums: &mut [f32],
    (inputs, step): (&[f32], usize),
    (weights, window): (&[f32], usize),
    length: usize,
) {
    if LENGTH == 0 {
        for (sum, at) in sums.iter_mut().zip(0..) {
            *sum += dot::<S>(&inputs[at * step..][..length], &weights[at * window..][..length]);
        }
        return;
    }
    if [step, window] == [LENGTH; 2] {
        // Side by side: compilers make whole vectors of this, and take them apart.
        let (inputs, weights) = (inputs.as_chunks::<LENGTH>().0, weights.as_chunks::<LENGTH>().0);
        for ((sum, inputs), weights) in sums.iter_mut().zip(inputs).zip(weights) {
            for k in 0..LENGTH {
                *sum = multiply_add::<S>(inputs[k], weights[k], *sum);
            }
        }
        return;
    }
    let mut blocks = sums.chunks_exact_mut(AT_ONCE);
    let mut first = 0;
    for block in &mut blocks {
        let mut sums: [f32; AT_ONCE] = std::array::from_fn(|j| block[j]);
        let inputs: [&[f32]; AT_ONCE] = std::array::from_fn(|j| &inputs[(first + j) * step..][..LENGTH]);
        let weights: [&[f32]; AT_ONCE] = std::array::from_fn(|j| &weights[(first + j) * window..][..LENGTH]);
        for k in 0..LENGTH {
            for j in 0..AT_ONCE {
                sums[j] = multiply_add::<S>(inputs[j][k], weights[j][k], sums[j]);
            }
        }
        block.copy_from_slice(&sums);
        first += AT_ONCE;
    }
    for sum in blocks.into_remainder() {
        for (input, weight) in inputs[first * step..][..LENGTH].iter().zip(&weights[first * window..][..LENGTH]) {
            *sum = multiply_add::<S>(*input, *weight, *sum);
        }
        first += 1;
    }
}

/// The sum of products, taken as [`PARTS`] partial sums that are added in pairs.
#[inline(always)]
fn dot<S: Simd>(inputs: &[f32], weights: &[f32]) -> f32 {
    let mut parts = [0.0; PARTS];
    let (inputs, last_inputs) = inputs.as_chunks::<PARTS>();
    let (weights, last_weights) = weights.as_chunks::<PARTS>();
    for (inputs, weights) in inputs.iter().zip(weights) {
        for i in 0..PARTS {
            parts[i] = multiply_add::<S>(inputs[i], weights[i], parts[i]);
        }
    }
    for (part, (input, weight)) in parts.iter_mut().zip(last_inputs.iter().zip(last_weights)) {
        *part = multiply_add::<S>(*input, *weight, *part);
    }
    let [a, b, c, d] = parts;
    (a + c) + (b + d)
}

/// Adds `values · factor` to `sums`, or to zeroes that are not there yet unless they are `HELD`.
#[inline(always)]
pub(super) fn add<S: Simd, const HELD: bool>(simd: S, sums: &mut [f32], values: &[f32], factor: f32) {
    let (factor, zero) = (simd.splat_f32s(factor), simd.splat_f32s(0.0));
    let ((sums, last_sums), (values, last_values)) = (S::as_mut_simd_f32s(sums), S::as_simd_f32s(values));
    for (sums, values) in sums.iter_mut().zip(values) {
        *sums = simd.mul_add_e_f32s(*values, factor, if HELD { *sums } else { zero });
    }
    if !last_sums.is_empty() {
        let held = if HELD { simd.partial_load_f32s(last_sums) } else { zero };
        let sums = simd.mul_add_e_f32s(simd.partial_load_f32s(last_values), factor, held);
        simd.partial_store_f32s(last_sums, sums);
    }
}

/// [`add`] for each factor; neighbouring factors' sums and values are a step apart. `LENGTH` is `length` if it is known when this is
/// compiled, else 0.
#[inline(always)]
pub(super) fn spread<S: Simd, const LENGTH: usize, const HELD: bool>(
    simd: S,
    (sums, sum_step): (&mut [f32], usize),
    (values, value_step): (&[f32], usize),
    (factors, length): (&[f32], usize),
) {
    if LENGTH == 0 {
        for (factor, at) in factors.iter().zip(0..) {
            let (sums, values) = (&mut sums[at * sum_step..][..length], &values[at * value_step..][..length]);
            add::<S, HELD>(simd, sums, values, *factor);
        }
        return;
    }
    let each = |sums: &mut [f32], values: &[f32], factor: f32| {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum = multiply_add::<S>(*value, factor, if HELD { *sum } else { 0.0 });
        }
    };
    if [sum_step, value_step] == [LENGTH; 2] {
        // Side by side: compilers make whole vectors of this.
        let (sums, values) = (sums.as_chunks_mut::<LENGTH>().0, values.as_chunks::<LENGTH>().0);
        for ((sums, values), factor) in sums.iter_mut().zip(values).zip(factors) {
            each(sums, values, *factor);
        }
        return;
    }
    for (factor, at) in factors.iter().zip(0..) {
        each(&mut sums[at * sum_step..][..LENGTH], &values[at * value_step..][..LENGTH], *factor);
    }
}
