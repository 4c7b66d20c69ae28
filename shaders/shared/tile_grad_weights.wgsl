// What tile.wgsl asks of products that give gradients of weights, [inputs][samples] x [samples][outputs], besides where
// inputs, outputs and results are. The kernel declares `x` and `dz`.
#import shared/inputs
#import shared/tile_gradient
#import shared/units

const A_ALONG_DEPTH = false;
const B_ALONG_DEPTH = false;
const B_HOLES = NO_HOLES;
const A_WIDTH = INPUT_WIDTH;
const B_WIDTH = WIDTH;
const RESULT_WIDTH = WIDTH;

fn depth_of(product: Product) -> u32 {
  return params.batch;
}

fn term(product: Product, n: u32) -> vec2<u32> {
  return vec2(n * params.x_sample, n * params.y_sample);
}

fn with_a(four: vec4<f32>, q: u32, at: u32) -> vec4<f32> {
  return with_input(four, q, x[at]);
}

fn with_b(four: vec4<f32>, q: u32, at: u32) -> vec4<f32> {
  return with_unit(four, q, dz[at]);
}
