// products[i, j] = the product of vectors i and j, each divided by its norm; 0 for i = j.
#import shared/dispatch

@group(0) @binding(1) var<storage, read> w: array<f32>;               // the matrix
@group(0) @binding(2) var<storage, read> factors: array<vec2<f32>>;   // [rows]
@group(0) @binding(3) var<storage, read_write> products: array<f32>;  // [rows][rows]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let at = workgroup_index(group) * THREADS + lane;
  if (at >= params.count) {
    return;
  }
  let i = at / params.rows;
  let j = at % params.rows;
  var sum = 0.0;
  if (i != j) {
    for (var c = 0u; c < params.columns; c++) {
      sum += w[i * params.a_0 + c * params.a_1] * w[j * params.a_0 + c * params.a_1];
    }
  }
  products[at] = sum * factors[i].x * factors[j].x;
}
