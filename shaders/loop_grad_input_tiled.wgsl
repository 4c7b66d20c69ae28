// loop_grad_input by tiles: a product [samples][readers * filters] x [readers * filters][channels] for each position
// and group.
#import shared/cell
#import shared/readers
#import shared/tile
#import shared/tile_grad_input
#import shared/weights

// Binding 1, w: shared/weights, [cells][window][filters]
@group(0) @binding(2) var<storage, read> dz: array<Unit>;         // output samples
@group(0) @binding(3) var<storage, read> tables: array<u32>;      // tap tables
@group(0) @binding(4) var<storage, read_write> dx: array<Input>;  // input samples

const B_HOLES = NO_HOLES;

struct Product {
  position: u32,
  g: u32,
  readers: Readers,
}

fn product_at(index: u32, first_column: u32) -> Product {
  let position = index / params.groups;
  return Product(position, index % params.groups, readers_of(position));
}

fn columns() -> u32 {
  return params.group_channels;
}

fn depth_of(product: Product) -> u32 {
  return product.readers.count * params.filters;
}

fn term(product: Product, k: u32) -> vec2<u32> {
  let at = reader(product.readers, k / params.filters);
  let f = k % params.filters;
  let cell = weights_of(at.x, product.g);
  let row = params.w_base + (cell * params.window + at.y * params.group_channels) * params.filters;
  let output = params.y_base + output_of(Cell(at.x, product.g), f);
  // Cells outside this chunk of the weights wrap around to large numbers.
  return select(vec2(NO_TAP, 0u), vec2(output, row + f), cell < params.weight_cells);
}

fn b_at_column(product: Product, c: u32) -> u32 {
  return c * params.filters;
}

fn with_b(four: vec4<f32>, q: u32, at: u32) -> vec4<f32> {
  return with_unit(four, q, weight(at));
}

fn result_at_row(product: Product, n: u32) -> u32 {
  return params.x_base + n * params.x_sample + product.position * params.x_position;
}

fn result_at_column(product: Product, c: u32) -> u32 {
  return (product.g * params.group_channels + c) * params.x_channel;
}
