// g[i, c] = factor / norm of i * (sum over j of sign(products[i, j]) * n[j, c] - n[i, c] * sum over j of |products[i,
// j]|), where n are the vectors divided by their norms. A vector that is divided by the least norm has no second sum.
#import shared/accumulate with results = g, Stored = f32
#import shared/elements

@group(0) @binding(1) var<storage, read> w: array<f32>;              // the matrix
@group(0) @binding(2) var<storage, read> factors: array<vec2<f32>>;  // [rows]
@group(0) @binding(3) var<storage, read> products: array<f32>;       // [rows][rows]
@group(0) @binding(4) var<storage, read_write> g: array<f32>;        // as w

fn compute(at: u32) {
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
  accumulate(place, params.factor * own.x * (toward - w[place] * own.x * along * own.y));
}
