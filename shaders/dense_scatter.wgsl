// d[window(p, k)][column of (p, f)] += w[p, k, f] on a matrix of zeroes; a thread a column.
@group(0) @binding(2) var<storage, read> tables: array<u32>;   // tap tables
@group(0) @binding(3) var<storage, read_write> d: array<f32>;  // [dense_rows][dense_columns]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let column = workgroup_index(group) * 64u + lane;
  if (column >= params.dense_columns) {
    return;
  }
  let local_cell = column / params.filters;
  let cell = params.first_cell + local_cell;
  let p = cell / params.groups;
  let g = cell % params.groups;
  let rows = tap_rows(p);
  var tap_row = params.w_base + local_cell * params.window * params.filters + column % params.filters;
  for (var t0 = 0u; t0 < params.kernel_0; t0++) {
    let i0 = tables[rows.x + t0];
    for (var t1 = 0u; t1 < params.kernel_1; t1++) {
      let i1 = tables[rows.y + t1];
      for (var t2 = 0u; t2 < params.kernel_2; t2++) {
        let i2 = tables[rows.z + t2];
        if (i0 != NO_TAP && i1 != NO_TAP && i2 != NO_TAP) {
          for (var c = 0u; c < params.group_channels; c++) {
            let row = i0 + i1 + i2 + (g * params.group_channels + c) * params.x_channel;
            // Circular padding may let two taps read one input.
            d[row * params.dense_columns + column] += weight(tap_row + c * params.filters);
          }
        }
        tap_row += params.group_channels * params.filters;
      }
    }
  }
}
