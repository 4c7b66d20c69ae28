// The products of loop_grad_weights_tiled and loop_update_tiled: [K][samples] x [samples][filters] for each cell. The
// kernel declares x, dz and tables, and says what is done with a sum (`store`).
#import shared/cell_product
#import shared/inputs
#import shared/tile
#import shared/tile_gradient
#import shared/units

const A_ALONG_DEPTH = false;
const B_ALONG_DEPTH = false;
const B_HAS_HOLES = false;
const A_WIDTH = INPUT_WIDTH;
const B_WIDTH = WIDTH;
const RESULT_WIDTH = WIDTH;

fn rows() -> u32 {
  return params.window;
}

fn columns() -> u32 {
  return params.filters;
}

fn depth_of(product: Product) -> u32 {
  return params.batch;
}

fn term(product: Product, n: u32) -> vec2<u32> {
  return vec2(n * params.x_sample, n * params.y_sample);
}

fn a_at_row(product: Product, k: u32) -> u32 {
  return input_at(product, k);
}

fn with_a(four: vec4<f32>, q: u32, at: u32) -> vec4<f32> {
  return with_input(four, q, x[at]);
}

fn b_at_column(product: Product, f: u32) -> u32 {
  return params.y_base + output_of(product.cell, f);
}

fn with_b(four: vec4<f32>, q: u32, at: u32) -> vec4<f32> {
  return with_unit(four, q, dz[at]);
}

fn result_at_row(product: Product, k: u32) -> u32 {
  return product.weights + k * params.filters;
}

fn result_at_column(product: Product, f: u32) -> u32 {
  return f;
}
