// loop_grad_input by tiles of neighbouring positions: a product [samples][readers * filters] x [readers * filters][positions * channels]
// for each line of positions along the inner axis and each group. Neighbouring positions have most of their readers in common, so
// that each output gradient is loaded for a strip of them, not for each. A tile's terms are all windows of the line that read any of
// its positions. Those that don't read a column's position are holes: of a window's weights, which lie tap by tap, a line of
// positions reads a band, as many columns further as the window begins further along. For taps that are neighbours in the input.
#import shared/cell
#import shared/tile
#import shared/tile_grad_input
#import shared/weights

// Binding 1, w: shared/weights, [cells][window][filters]
@group(0) @binding(2) var<storage, read> dz: array<Unit>;         // output samples
@group(0) @binding(3) var<storage, read> tables: array<u32>;      // tap tables
@group(0) @binding(4) var<storage, read_write> dx: array<Input>;  // input samples

const B_HOLES = BAND;

struct Product {
  line: u32,          // of the input's lines along the inner axis
  g: u32,
  outer: vec2<u32>,   // by outer axis: the first of the line's pairs in the tap tables
  counts: vec2<u32>,  //   and how many there are
  first_window: u32,  // on the inner axis
  windows: u32,
}

fn product_at(index: u32, first_column: u32) -> Product {
  let line = index / params.groups;
  let s0 = params.starts_0 + line / params.input_1;
  let s1 = params.starts_1 + line % params.input_1;
  let outer = vec2(tables[s0], tables[s1]);
  let counts = vec2(tables[s0 + 1u], tables[s1 + 1u]) - outer;
  // The tile's first and last position, from where window 0 begins.
  let first = params.before_2 + first_column / params.group_channels;
  let last = params.before_2 + (min(first_column + TILE_COLUMNS, columns()) - 1u) / params.group_channels;
  let begin = (max(first + params.stride_2, params.taps_2) - params.taps_2) / params.stride_2;
  let end = min(last / params.stride_2 + 1u, params.output_2);
  return Product(line, index % params.groups, outer, counts, begin, max(end, begin) - begin);
}

fn columns() -> u32 {
  return params.input_2 * params.group_channels;
}

fn depth_of(product: Product) -> u32 {
  return product.counts.x * product.counts.y * product.windows * params.filters;
}

fn window_of(product: Product, k: u32) -> u32 {
  return product.first_window + k / params.filters % product.windows;
}

fn term(product: Product, k: u32) -> vec2<u32> {
  let outer = k / params.filters / product.windows;
  let e0 = params.inverse_0 + 2u * (product.outer.x + outer / product.counts.y);
  let e1 = params.inverse_1 + 2u * (product.outer.y + outer % product.counts.y);
  let p = tables[e0] + tables[e1] + window_of(product, k);
  let t = tables[e0 + 1u] + tables[e1 + 1u];
  let cell = weights_of(p, product.g);
  let row = params.w_base + (cell * params.window + t * params.group_channels) * params.filters;
  let output = params.y_base + output_of(Cell(p, product.g), k % params.filters);
  // Cells outside this chunk of the weights wrap around to large numbers.
  return select(vec2(NO_TAP, 0u), vec2(output, row), cell < params.weight_cells);
}

// The length of the band: the weights of a window's inner taps, in units of B_WIDTH.
fn band() -> u32 {
  return params.taps_2 * params.group_channels * params.filters / B_WIDTH;
}

// Where column 0 of term k lies in the band; before its beginning the place wraps around to a large number.
fn band_place(product: Product, k: u32) -> u32 {
  let tap = params.before_2 - window_of(product, k) * params.stride_2;
  return tap * (params.group_channels * params.filters / B_WIDTH) + k % params.filters / B_WIDTH;
}

fn b_at_column(product: Product, column: u32) -> u32 {
  return column * params.filters;
}

fn with_b(four: vec4<f32>, q: u32, at: u32) -> vec4<f32> {
  return with_unit(four, q, weight(at));
}

fn result_at_row(product: Product, n: u32) -> u32 {
  return params.x_base + n * params.x_sample + product.line * params.input_2 * params.x_position;
}

fn result_at_column(product: Product, column: u32) -> u32 {
  let channel = product.g * params.group_channels + column % params.group_channels;
  return column / params.group_channels * params.x_position + channel * params.x_channel;
}
