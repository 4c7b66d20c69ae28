// factor = gamma / sqrt(variance + epsilon); without a gamma where params.use_scale is 0.
#import shared/elements

@group(0) @binding(1) var<storage, read> variance: array<f32>;      // [count]
@group(0) @binding(2) var<storage, read> gamma: array<f32>;         // [count]; the variance where there is none
@group(0) @binding(3) var<storage, read_write> factor: array<f32>;  // [count]

fn compute(i: u32) {
  factor[i] = select(1.0, gamma[i], params.use_scale == 1u) / sqrt(variance[i] + params.epsilon);
}
