// For each vector i two factors: 1 / its norm; and 1, or 0 where its norm is so small that TensorFlow divides by a
// least one instead.
#import shared/dispatch

@group(0) @binding(1) var<storage, read> w: array<f32>;                    // the matrix
@group(0) @binding(2) var<storage, read_write> factors: array<vec2<f32>>;  // [rows]

const LEAST = 1e-12;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group) * THREADS + lane;
  if (i >= params.rows) {
    return;
  }
  var sum = 0.0;
  for (var c = 0u; c < params.columns; c++) {
    let value = w[i * params.a_0 + c * params.a_1];
    sum += value * value;
  }
  factors[i] = vec2(inverseSqrt(max(sum, LEAST)), select(0.0, 1.0, sum >= LEAST));
}
