// d[i][column] = sum over n of x[n, i] * dz[n, column]
@group(0) @binding(1) var<storage, read> x: array<f32>;        // input samples
@group(0) @binding(2) var<storage, read> dz: array<f32>;       // output samples
@group(0) @binding(3) var<storage, read_write> d: array<f32>;  // [dense_rows][dense_columns]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let tiles = (params.dense_rows + TILE - 1u) / TILE;
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
  for (var k0 = 0u; k0 < params.batch; k0 += DEPTH) {
    workgroupBarrier();
    for (var slot = lane; slot < 128u; slot += 64u) {
      let n = k0 + slot / 8u;
      let at = slot % 8u * 4u;
      var a = vec4<f32>();
      var v = vec4<f32>();
      for (var j = 0u; j < 4u; j++) {
        if (n < params.batch && first_row + at + j < params.dense_rows) {
          a[j] = x[params.x_base + n * params.x_sample + first_row + at + j];
        }
        if (n < params.batch && first_column + at + j < params.dense_columns) {
          v[j] = dz[params.y_base + n * params.y_sample + column_offset(first_column + at + j)];
        }
      }
      tile_a[slot] = a;
      tile_b[slot] = v;
    }
    workgroupBarrier();
    multiply_tiles(row, column);
  }
  for (var r = 0u; r < 4u; r++) {
    let i = first_row + row * 4u + r;
    for (var j = 0u; j < 4u; j++) {
      let c = first_column + column * 4u + j;
      if (i < params.dense_rows && c < params.dense_columns) {
        let at = i * params.dense_columns + c;
        var value = sum[r][j];
        if (params.accumulate == 1u) {
          value += d[at];
        }
        d[at] = value;
      }
    }
  }
}
