// loop_forward by tiles: a product [samples][K] x [K][filters] for each cell.
#import shared/bias
#import shared/cell_product
#import shared/tile
#import shared/tile_output
#import shared/weights

// Binding 1, w: shared/weights, [cells][window][filters]
@group(0) @binding(2) var<storage, read> x: array<Input>;       // input samples
@group(0) @binding(3) var<storage, read> b: array<f32>;         // bias, unused when use_bias is 0
@group(0) @binding(4) var<storage, read> tables: array<u32>;    // tap tables
@group(0) @binding(5) var<storage, read_write> y: array<Unit>;  // output samples

const B_HAS_HOLES = false;

fn rows() -> u32 {
  return params.batch;
}

fn columns() -> u32 {
  return params.filters;
}

fn depth_of(product: Product) -> u32 {
  return params.window;
}

fn term(product: Product, k: u32) -> vec2<u32> {
  return vec2(input_at(product, k), product.weights + k * params.filters);
}

fn a_at_row(product: Product, n: u32) -> u32 {
  return n * params.x_sample;
}

fn b_at_column(product: Product, f: u32) -> u32 {
  return f;
}

fn with_b(four: vec4<f32>, q: u32, at: u32) -> vec4<f32> {
  return with_unit(four, q, weight(at));
}

fn result_at_row(product: Product, n: u32) -> u32 {
  return params.y_base + n * params.y_sample + product.cell.p * params.y_location;
}

fn result_at_column(product: Product, f: u32) -> u32 {
  return filter_of(product.cell.g, f) * params.y_filter;
}

fn addend(product: Product, f: u32) -> f32 {
  return bias_of(product.cell, f);
}
