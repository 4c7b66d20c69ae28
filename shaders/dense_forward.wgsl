// y[n, column] = activation(bias[column] + sum over i of x[n, i] * d[i][column])
@group(0) @binding(1) var<storage, read> x: array<f32>;        // input samples
@group(0) @binding(2) var<storage, read> d: array<f32>;        // [dense_rows][dense_columns]
@group(0) @binding(3) var<storage, read> b: array<f32>;        // bias, unused when use_bias is 0
@group(0) @binding(4) var<storage, read_write> y: array<f32>;  // output samples

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let tiles = (params.batch + TILE - 1u) / TILE;
  let index = workgroup_index(group);
  if (index >= params.workgroups) {
    return;
  }
  let first_row = index % tiles * TILE;
  let first_column = index / tiles * TILE;
  let row = lane / 8u;
  let column = lane % 8u;
  for (var r = 0u; r < 4u; r++) {
    sum[r] = vec4<f32>();
  }
  for (var k0 = 0u; k0 < params.dense_rows; k0 += DEPTH) {
    workgroupBarrier();
    for (var slot = lane; slot < 128u; slot += 64u) {
      let k = k0 + slot / 8u;
      let at = slot % 8u * 4u;
      var a = vec4<f32>();
      var v = vec4<f32>();
      for (var j = 0u; j < 4u; j++) {
        if (k < params.dense_rows && first_row + at + j < params.batch) {
          a[j] = x[params.x_base + (first_row + at + j) * params.x_sample + k];
        }
        if (k < params.dense_rows && first_column + at + j < params.dense_columns) {
          v[j] = d[k * params.dense_columns + first_column + at + j];
        }
      }
      tile_a[slot] = a;
      tile_b[slot] = v;
    }
    workgroupBarrier();
    multiply_tiles(row, column);
  }
  for (var j = 0u; j < 4u; j++) {
    let c = first_column + column * 4u + j;
    if (c < params.dense_columns) {
      let offset = column_offset(c);
      var bias = 0.0;
      if (params.use_bias == 1u) {
        // A bias per location lies as the output does; a shared one has only the filter's place.
        let f = params.first_cell + c / params.filters;
        let filter_index = f % params.groups * params.group_filters + params.first_filter + c % params.filters;
        bias = b[params.b_base + f / params.groups * params.b_location + filter_index * params.b_filter];
      }
      for (var r = 0u; r < 4u; r++) {
        let n = first_row + row * 4u + r;
        if (n < params.batch) {
          y[params.y_base + n * params.y_sample + offset] = activate(sum[r][j] + bias);
        }
      }
    }
  }
}
