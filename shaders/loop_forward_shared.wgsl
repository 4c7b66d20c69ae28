// loop_forward by tiles where locations share their weights and every window lies within the input: one product
// [samples and locations][K] x [K][filters] for each group. A row says where its window begins, and `term` how far from
// there a tap lies. That distance is where the tap of location 0 lies, because that location's window begins with the
// input.
#import shared/tile_forward

// Binding 1, w: shared/weights, [cells][window][filters]
@group(0) @binding(2) var<storage, read> x: array<Input>;       // input samples
@group(0) @binding(3) var<storage, read> b: array<f32>;         // bias, unused when use_bias is 0
@group(0) @binding(4) var<storage, read> tables: array<u32>;    // tap tables
@group(0) @binding(5) var<storage, read_write> y: array<Unit>;  // output samples

fn locations() -> u32 {
  return params.cells / params.cell_groups;
}

fn rows() -> u32 {
  return params.batch * locations();
}

fn a_at_row(product: Product, row: u32) -> u32 {
  return row / locations() * params.x_sample + window_offset(tap_rows(row % locations()), 0u);
}

fn result_at_row(product: Product, row: u32) -> u32 {
  return params.y_base + row / locations() * params.y_sample + row % locations() * params.y_location;
}
