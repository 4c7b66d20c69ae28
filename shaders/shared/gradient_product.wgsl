// The products of loop_grad_weights_tiled and loop_update_tiled: [K][samples] x [samples][filters] for each cell. The
// kernel declares x, dz and tables, and says what is done with a sum (`store`).
#import shared/cell_product
#import shared/tile
#import shared/tile_grad_weights

fn rows() -> u32 {
  return params.window;
}

fn columns() -> u32 {
  return params.filters;
}

fn a_at_row(product: Product, k: u32) -> u32 {
  return input_at(product, k);
}

fn b_at_column(product: Product, f: u32) -> u32 {
  return params.y_base + output_of(product.cell, f);
}

fn result_at_row(product: Product, k: u32) -> u32 {
  return product.weights + k * params.filters;
}

fn result_at_column(product: Product, f: u32) -> u32 {
  return f;
}
