// What tile.wgsl asks of products that give gradients of inputs, [samples][terms] x [terms][inputs], besides where weights
// and results are. The kernel declares `dz` and `dx`.
#import shared/accumulate with results = dx, Stored = Input
#import shared/inputs
#import shared/tile_gradient
#import shared/units

const A_ALONG_DEPTH = true;
const B_ALONG_DEPTH = true;
const A_WIDTH = WIDTH;
const B_WIDTH = WIDTH;
const RESULT_WIDTH = INPUT_WIDTH;

fn rows() -> u32 {
  return params.batch;
}

fn a_at_row(product: Product, n: u32) -> u32 {
  return n * params.y_sample;
}

fn with_a(four: vec4<f32>, q: u32, at: u32) -> vec4<f32> {
  return with_unit(four, q, dz[at]);
}

fn store(at: u32, four: vec4<f32>, from_column: u32) {
  accumulate(at, input_of(four, from_column));
}
