// d[i][column] = sum over n of x[n, i] * dz[n, column]
// One product by tiles, [inputs][samples] x [samples][columns].
#import shared/accumulate with results = d, Stored = Unit
#import shared/dense_columns
#import shared/tile
#import shared/tile_grad_weights

@group(0) @binding(1) var<storage, read> x: array<Input>;       // input samples
@group(0) @binding(2) var<storage, read> dz: array<Unit>;       // output samples
@group(0) @binding(3) var<storage, read_write> d: array<Unit>;  // [dense_rows][dense_columns]

fn rows() -> u32 {
  return params.dense_rows;
}

fn columns() -> u32 {
  return params.dense_columns;
}

fn a_at_row(product: Product, i: u32) -> u32 {
  return params.x_base + i;
}

fn b_at_column(product: Product, column: u32) -> u32 {
  return params.y_base + column_offset(column);
}

fn result_at_row(product: Product, i: u32) -> u32 {
  return i * params.dense_columns;
}

fn result_at_column(product: Product, column: u32) -> u32 {
  return column;
}

fn store(at: u32, four: vec4<f32>, from_column: u32) {
  accumulate(at, unit_of(four, from_column));
}
