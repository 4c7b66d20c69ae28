// loop_grad_kernel for channels_last with channels and filters in fours: a thread computes ROWS quads of channels of one
// tap by QUADS quads of filters; ROWS divides a group's quads of channels.
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;         // input samples
@group(0) @binding(2) var<storage, read> dz: array<vec4<f32>>;        // output samples
@group(0) @binding(3) var<storage, read> tables: array<u32>;          // tap tables
@group(0) @binding(4) var<storage, read_write> dw: array<vec4<f32>>;  // [cells][window][filters / 4]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let quads = params.filters / 4u;
  let lanes = (quads + QUADS - 1u) / QUADS;
  let rows = params.window / (4u * ROWS);
  let index = workgroup_index(group) * 64u + lane;
  if (index >= params.cells * rows * lanes) {
    return;
  }
  let f = index % lanes;
  let k = index / lanes % rows * (4u * ROWS);
  let local_cell = index / lanes / rows;
  let cell = params.first_cell + local_cell;
  let c = k % params.group_channels;
  let t = k / params.group_channels;
  let p = cell / params.groups;
  let g = cell % params.groups;
  let window = window_offset(tap_rows(p), t);

  // Quads past the last repeat the last one; they are not written.
  var filter_at: array<u32, QUADS>;
  for (var j = 0u; j < QUADS; j++) {
    filter_at[j] = min(f + j * lanes, quads - 1u);
  }
  var sum: array<array<vec4<f32>, QUADS>, 4u * ROWS>;
  for (var i = 0u; i < 4u * ROWS; i++) {
    for (var j = 0u; j < QUADS; j++) {
      sum[i][j] = vec4<f32>();
    }
  }
  if (window != NO_TAP) {
    var from_x = (params.x_base + window + g * params.group_channels + c) / 4u;
    var from_z = (params.y_base + p * params.y_location + g * params.group_filters + params.first_filter) / 4u;
    for (var n = 0u; n < params.batch; n++) {
      var d: array<vec4<f32>, QUADS>;
      for (var j = 0u; j < QUADS; j++) {
        d[j] = dz[from_z + filter_at[j]];
      }
      for (var r = 0u; r < ROWS; r++) {
        let input = x[from_x + r];
        for (var j = 0u; j < QUADS; j++) {
          sum[4u * r][j] += input.x * d[j];
          sum[4u * r + 1u][j] += input.y * d[j];
          sum[4u * r + 2u][j] += input.z * d[j];
          sum[4u * r + 3u][j] += input.w * d[j];
        }
      }
      from_x += params.x_sample / 4u;
      from_z += params.y_sample / 4u;
    }
  }
  for (var j = 0u; j < QUADS; j++) {
    if (f + j * lanes < quads) {
      for (var i = 0u; i < 4u * ROWS; i++) {
        let at = params.w_base / 4u + (local_cell * params.window + k + i) * quads + filter_at[j];
        var value = sum[i][j];
        if (params.accumulate == 1u) {
          value += dw[at];
        }
        dw[at] = value;
      }
    }
  }
}
