// A cell's product, of its window and its weights or their gradient.
struct Product {
  p: u32,
  g: u32,
  weights: u32,  // where the cell's begin
}

fn product_at(local_cell: u32) -> Product {
  let cell = params.first_cell + local_cell;
  let weights = params.w_base + local_cell * params.window * params.filters;
  return Product(cell / params.groups, cell % params.groups, weights);
}

// Where row k of the weights reads the first sample, NO_TAP outside the input.
fn input_at(product: Product, k: u32) -> u32 {
  let window = window_offset(product.p, k / params.group_channels);
  let channel = product.g * params.group_channels + k % params.group_channels;
  return select(params.x_base + window + channel * params.x_channel, NO_TAP, window == NO_TAP);
}
