// d[i][column] = sum over n of x[n, i] * dz[n, column]
// One product by tiles, [inputs][samples] x [samples][columns].
@group(0) @binding(1) var<storage, read> x: array<f32>;        // input samples
@group(0) @binding(2) var<storage, read> dz: array<f32>;       // output samples
@group(0) @binding(3) var<storage, read_write> d: array<f32>;  // [dense_rows][dense_columns]

const A_ALONG_DEPTH = false;
const B_ALONG_DEPTH = false;

fn rows() -> u32 {
  return params.dense_rows;
}

fn columns() -> u32 {
  return params.dense_columns;
}

fn depth_of(product: Product) -> u32 {
  return params.batch;
}

fn a_at_depth(product: Product, n: u32) -> u32 {
  return n * params.x_sample;
}

fn a_at_row(product: Product, i: u32) -> u32 {
  return params.x_base + i;
}

fn load_a(at: u32) -> f32 {
  return x[at];
}

fn b_at_depth(product: Product, n: u32) -> u32 {
  return n * params.y_sample;
}

fn b_at_column(product: Product, column: u32) -> u32 {
  return params.y_base + column_offset(column);
}

fn load_b(at: u32) -> f32 {
  return dz[at];
}

fn store(product: Product, i: u32, column: u32, value: f32) {
  let at = i * params.dense_columns + column;
  var all = value;
  if (params.accumulate == 1u) {
    all += d[at];
  }
  d[at] = all;
}
