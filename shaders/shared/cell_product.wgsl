// The product of a cell's window with its weights, or with the gradient of the output.
#import shared/cell
#import shared/window

struct Product {
  cell: Cell,
  weights: u32,          // where the cell's weights begin
  tap_rows: vec3<u32>,
}

fn product_at(local_cell: u32, first_column: u32) -> Product {
  let cell = cell_at(params.first_cell + local_cell);
  let weights = params.w_base + weights_of(cell.p, cell.g) * params.window * params.filters;
  return Product(cell, weights, tap_rows(cell.p));
}

// Where row k of the weights reads the first sample; NO_TAP outside the input.
fn input_at(product: Product, k: u32) -> u32 {
  let window = window_offset(product.tap_rows, k / params.group_channels);
  let channel = product.cell.g * params.group_channels + k % params.group_channels;
  return select(params.x_base + window + channel * params.x_channel, NO_TAP, window == NO_TAP);
}
