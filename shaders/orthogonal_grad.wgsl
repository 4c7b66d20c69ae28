// g[i, c] = factor / norm of i * (sum over j of sign(products[i, j]) * n[j, c] - n[i, c] * sum over j of |products[i,
// j]|), where n are the vectors divided by their norms. A vector that is divided by the least norm has no second sum.
#import shared/dispatch

@group(0) @binding(1) var<storage, read> w: array<f32>;              // the matrix
@group(0) @binding(2) var<storage, read> factors: array<vec2<f32>>;  // [rows]
@group(0) @binding(3) var<storage, read> products: array<f32>;       // [rows][rows]
@group(0) @binding(4) var<storage, read_write> g: array<f32>;        // as w

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let at = workgroup_index(group) * THREADS + lane;
  if (at >= params.count) {
    return;
  }
  let i = at / params.columns;
  let c = at % params.columns;
  var toward = 0.0;
  var along = 0.0;
  for (var j = 0u; j < params.rows; j++) {
    let product = products[i * params.rows + j];
    toward += sign(product) * w[j * params.a_0 + c * params.a_1] * factors[j].x;
    along += abs(product);
  }
  let place = i * params.a_0 + c * params.a_1;
  let own = factors[i];
  var value = params.factor * own.x * (toward - w[place] * own.x * along * own.y);
  if (params.accumulate == 1u) {
    value += g[place];
  }
  g[place] = value;
}
