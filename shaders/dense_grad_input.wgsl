// dx[n, i] = sum over the columns of dz[n, column] * d[i][column]
// One product by tiles, [samples][columns] x [columns][inputs].
#import shared/dense_columns
#import shared/inputs
#import shared/tile
#import shared/tile_gradient
#import shared/units

@group(0) @binding(1) var<storage, read> d: array<Unit>;          // [dense_rows][dense_columns]
@group(0) @binding(2) var<storage, read> dz: array<Unit>;         // output samples
@group(0) @binding(3) var<storage, read_write> dx: array<Input>;  // input samples

const A_ALONG_DEPTH = true;
const B_ALONG_DEPTH = true;
const B_HAS_HOLES = true;
const A_WIDTH = WIDTH;
const B_WIDTH = WIDTH;
const RESULT_WIDTH = INPUT_WIDTH;

fn rows() -> u32 {
  return params.batch;
}

fn columns() -> u32 {
  return params.dense_rows;
}

fn depth_of(product: Product) -> u32 {
  return params.dense_columns;
}

fn term(product: Product, column: u32) -> vec2<u32> {
  return vec2(params.y_base + column_offset(column), column);
}

fn a_at_row(product: Product, n: u32) -> u32 {
  return n * params.y_sample;
}

fn with_a(four: vec4<f32>, q: u32, at: u32) -> vec4<f32> {
  return with_unit(four, q, dz[at]);
}

fn b_at_column(product: Product, i: u32) -> u32 {
  return i * params.dense_columns;
}

fn with_b(four: vec4<f32>, q: u32, at: u32) -> vec4<f32> {
  return with_unit(four, q, d[at]);
}

fn result_at_row(product: Product, n: u32) -> u32 {
  return params.x_base + n * params.x_sample;
}

fn result_at_column(product: Product, i: u32) -> u32 {
  return i;
}

fn store(at: u32, four: vec4<f32>, from_column: u32) {
  var all = input_of(four, from_column);
  if (params.accumulate == 1u) {
    all += dx[at];
  }
  dx[at] = all;
}
