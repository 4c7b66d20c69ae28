// loop_forward by tiles: a product [samples][K] x [K][filters] for each cell.
#import shared/tile_forward

// Binding 1, w: shared/weights, [cells][window][filters]
@group(0) @binding(2) var<storage, read> x: array<Input>;       // input samples
@group(0) @binding(3) var<storage, read> b: array<f32>;         // bias, unused when use_bias is 0
@group(0) @binding(4) var<storage, read> tables: array<u32>;    // tap tables
@group(0) @binding(5) var<storage, read_write> y: array<Unit>;  // output samples

fn rows() -> u32 {
  return params.batch;
}

fn a_at_row(product: Product, n: u32) -> u32 {
  return n * params.x_sample;
}

fn result_at_row(product: Product, n: u32) -> u32 {
  return params.y_base + n * params.y_sample + product.cell.p * params.y_location;
}
