// d[i][column] = sum over n of x[n, i] * dz[n, column]
// One product by tiles, [inputs][samples] x [samples][columns].
@group(0) @binding(1) var<storage, read> x: array<Unit>;       // input samples
@group(0) @binding(2) var<storage, read> dz: array<Unit>;      // output samples
@group(0) @binding(3) var<storage, read_write> d: array<Unit>;  // [dense_rows][dense_columns]

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

fn term(product: Product, n: u32) -> vec2<u32> {
  return vec2(n * params.x_sample, n * params.y_sample);
}

fn a_at_row(product: Product, i: u32) -> u32 {
  return params.x_base + i;
}

fn load_a(at: u32) -> Unit {
  return x[at];
}

fn b_at_column(product: Product, column: u32) -> u32 {
  return params.y_base + column_offset(column);
}

fn load_b(at: u32) -> Unit {
  return dz[at];
}

fn result_at_row(product: Product, i: u32) -> u32 {
  return i * params.dense_columns;
}

fn result_at_column(product: Product, column: u32) -> u32 {
  return column;
}

fn store(at: u32, value: Unit) {
  var all = value;
  if (params.accumulate == 1u) {
    all += d[at];
  }
  d[at] = all;
}
