// dx[n, i] = sum over the columns of dz[n, column] * d[i][column]
@group(0) @binding(1) var<storage, read> d: array<f32>;         // [dense_rows][dense_columns]
@group(0) @binding(2) var<storage, read> dz: array<f32>;        // output samples
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;  // input samples

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
  for (var k0 = 0u; k0 < params.dense_columns; k0 += DEPTH) {
    workgroupBarrier();
    for (var slot = lane; slot < 128u; slot += 64u) {
      let k = k0 + slot / 8u;
      let at = slot % 8u * 4u;
      var a = vec4<f32>();
      var v = vec4<f32>();
      if (k < params.dense_columns) {
        let offset = column_offset(k);
        for (var j = 0u; j < 4u; j++) {
          if (first_row + at + j < params.batch) {
            a[j] = dz[params.y_base + (first_row + at + j) * params.y_sample + offset];
          }
          if (first_column + at + j < params.dense_rows) {
            v[j] = d[(first_column + at + j) * params.dense_columns + k];
          }
        }
      }
      tile_a[slot] = a;
      tile_b[slot] = v;
    }
    workgroupBarrier();
    multiply_tiles(row, column);
  }
  for (var r = 0u; r < 4u; r++) {
    let n = first_row + row * 4u + r;
    for (var j = 0u; j < 4u; j++) {
      let i = first_column + column * 4u + j;
      if (n < params.batch && i < params.dense_rows) {
        let at = params.x_base + n * params.x_sample + i;
        var value = sum[r][j];
        if (params.accumulate == 1u) {
          value += dx[at];
        }
        dx[at] = value;
      }
    }
  }
}
