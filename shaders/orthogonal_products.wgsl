// products[i, j] = the product of vectors i and j, each divided by its norm; 0 for i = j.
#import shared/elements

@group(0) @binding(1) var<storage, read> w: array<f32>;               // the matrix
@group(0) @binding(2) var<storage, read> factors: array<vec2<f32>>;   // [rows]
@group(0) @binding(3) var<storage, read_write> products: array<f32>;  // [rows][rows]

fn compute(at: u32) {
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
