// factor = gamma / sqrt(variance + epsilon); without a gamma where params.use_scale is 0.
#import shared/dispatch

@group(0) @binding(1) var<storage, read> variance: array<f32>;      // [count]
@group(0) @binding(2) var<storage, read> gamma: array<f32>;         // [count]; the variance where there is none
@group(0) @binding(3) var<storage, read_write> factor: array<f32>;  // [count]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group) * THREADS + lane;
  if (i < params.count) {
    factor[i] = select(1.0, gamma[i], params.use_scale == 1u) / sqrt(variance[i] + params.epsilon);
  }
}
