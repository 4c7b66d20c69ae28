// What tile.wgsl asks of forward products with a cell's weights, besides which rows they have. The kernel declares `x`,
// `b`, `tables` and `y`.
#import shared/bias
#import shared/cell_product
#import shared/tile
#import shared/tile_output
#import shared/weights

const B_HOLES = NO_HOLES;

fn columns() -> u32 {
  return params.filters;
}

fn depth_of(product: Product) -> u32 {
  return params.window;
}

fn term(product: Product, k: u32) -> vec2<u32> {
  return vec2(input_at(product, k), product.weights + k * params.filters);
}

fn b_at_column(product: Product, f: u32) -> u32 {
  return f;
}

fn with_b(four: vec4<f32>, q: u32, at: u32) -> vec4<f32> {
  return with_unit(four, q, weight(at));
}

fn result_at_column(product: Product, f: u32) -> u32 {
  return filter_of(product.cell.g, f) * params.y_filter;
}

fn addend(product: Product, f: u32) -> f32 {
  return bias_of(product.cell, f);
}
