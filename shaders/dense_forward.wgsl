// y[n, column] = activation(bias[column] + sum over i of x[n, i] * d[i][column])
// One product by tiles, [samples][inputs] x [inputs][columns].
#import shared/bias
#import shared/dense_columns
#import shared/tile
#import shared/tile_output
#import shared/units

@group(0) @binding(1) var<storage, read> x: array<Input>;       // input samples
@group(0) @binding(2) var<storage, read> d: array<Unit>;        // [dense_rows][dense_columns]
@group(0) @binding(3) var<storage, read> b: array<f32>;         // bias, unused when use_bias is 0
@group(0) @binding(4) var<storage, read_write> y: array<Unit>;  // output samples

const B_HOLES = ZEROES;

fn rows() -> u32 {
  return params.batch;
}

fn columns() -> u32 {
  return params.dense_columns;
}

fn depth_of(product: Product) -> u32 {
  return params.dense_rows;
}

fn term(product: Product, i: u32) -> vec2<u32> {
  return vec2(params.x_base + i, i * params.dense_columns);
}

fn a_at_row(product: Product, n: u32) -> u32 {
  return n * params.x_sample;
}

fn b_at_column(product: Product, column: u32) -> u32 {
  return column;
}

fn with_b(four: vec4<f32>, q: u32, at: u32) -> vec4<f32> {
  return with_unit(four, q, d[at]);
}

fn result_at_row(product: Product, n: u32) -> u32 {
  return params.y_base + n * params.y_sample;
}

fn result_at_column(product: Product, column: u32) -> u32 {
  return column_offset(column);
}

fn addend(product: Product, column: u32) -> f32 {
  return bias_of(cell_of_column(column), column % params.filters);
}
