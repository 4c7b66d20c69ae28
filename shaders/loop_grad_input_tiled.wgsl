// loop_grad_input by tiles: a product [samples][readers * filters] x [readers * filters][channels] for each position
// and group.
@group(0) @binding(2) var<storage, read> dz: array<f32>;        // output samples
@group(0) @binding(3) var<storage, read> tables: array<u32>;    // tap tables
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;  // input samples

const A_ALONG_DEPTH = true;
const B_ALONG_DEPTH = true;

struct Product {
  position: u32,
  g: u32,
  readers: Readers,
}

fn product_at(index: u32) -> Product {
  let position = index / params.groups;
  return Product(position, index % params.groups, readers_of(position));
}

fn rows() -> u32 {
  return params.batch;
}

fn columns() -> u32 {
  return params.group_channels;
}

fn depth_of(product: Product) -> u32 {
  return product.readers.count * params.filters;
}

fn a_at_depth(product: Product, k: u32) -> u32 {
  let p = reader(product.readers, k / params.filters).x;
  let f = product.g * params.group_filters + params.first_filter + k % params.filters;
  // Cells outside this chunk of the weights wrap around to large numbers.
  let inside = p * params.groups + product.g - params.first_cell < params.cells;
  return select(NO_TAP, params.y_base + p * params.y_location + f * params.y_filter, inside);
}

fn a_at_row(product: Product, n: u32) -> u32 {
  return n * params.y_sample;
}

fn load_a(at: u32) -> f32 {
  return dz[at];
}

fn b_at_depth(product: Product, k: u32) -> u32 {
  let at = reader(product.readers, k / params.filters);
  let cell = at.x * params.groups + product.g - params.first_cell;
  let row = params.w_base + (cell * params.window + at.y * params.group_channels) * params.filters;
  return select(NO_TAP, row + k % params.filters, cell < params.cells);
}

fn b_at_column(product: Product, c: u32) -> u32 {
  return c * params.filters;
}

fn load_b(at: u32) -> f32 {
  return weight(at);
}

fn store(product: Product, n: u32, c: u32, value: f32) {
  let channel = product.g * params.group_channels + c;
  let at = params.x_base + n * params.x_sample + product.position * params.x_position + channel * params.x_channel;
  var all = value;
  if (params.accumulate == 1u) {
    all += dx[at];
  }
  dx[at] = all;
}
