// dx[n, i] = sum over the columns of dz[n, column] * d[i][column]
// One product by tiles, [samples][columns] x [columns][inputs].
#import shared/dense_columns
#import shared/tile
#import shared/tile_grad_input

@group(0) @binding(1) var<storage, read> d: array<Unit>;          // [dense_rows][dense_columns]
@group(0) @binding(2) var<storage, read> dz: array<Unit>;         // output samples
@group(0) @binding(3) var<storage, read_write> dx: array<Input>;  // input samples

const B_HOLES = ZEROES;

fn columns() -> u32 {
  return params.dense_rows;
}

fn depth_of(product: Product) -> u32 {
  return params.dense_columns;
}

fn term(product: Product, column: u32) -> vec2<u32> {
  return vec2(params.y_base + column_offset(column), column);
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
