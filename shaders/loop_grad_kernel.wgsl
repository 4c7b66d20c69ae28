// dw[p, k, f] = sum over n of x[n, window(p, k)] * dz[n, p, f]; 0 where the tap lies outside the input.
// A thread computes CHANNELS channels of one tap by FILTERS filters; CHANNELS divides the channels of a group.
@group(0) @binding(1) var<storage, read> x: array<f32>;         // input samples
@group(0) @binding(2) var<storage, read> dz: array<f32>;        // output samples
@group(0) @binding(3) var<storage, read> tables: array<u32>;    // tap tables
@group(0) @binding(4) var<storage, read_write> dw: array<f32>;  // [cells][window][filters]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let lanes = (params.filters + FILTERS - 1u) / FILTERS;
  let rows = params.window / CHANNELS;
  let index = workgroup_index(group) * 64u + lane;
  if (index >= params.cells * rows * lanes) {
    return;
  }
  let f = index % lanes;
  let k = index / lanes % rows * CHANNELS;
  let local_cell = index / lanes / rows;
  let cell = params.first_cell + local_cell;
  let c = k % params.group_channels;
  let t = k / params.group_channels;
  let p = cell / params.groups;
  let g = cell % params.groups;
  let window = window_offset(p, t);

  // Filters past the last repeat the last one; they are not written.
  var filter_at: array<u32, FILTERS>;
  for (var j = 0u; j < FILTERS; j++) {
    filter_at[j] = min(f + j * lanes, params.filters - 1u);
  }
  var sum: array<array<f32, FILTERS>, CHANNELS>;
  for (var i = 0u; i < CHANNELS; i++) {
    for (var j = 0u; j < FILTERS; j++) {
      sum[i][j] = 0.0;
    }
  }
  if (window != NO_TAP) {
    var from_x = params.x_base + window + (g * params.group_channels + c) * params.x_channel;
    var from_z = params.y_base + p * params.y_location + (g * params.group_filters + params.first_filter) * params.y_filter;
    for (var n = 0u; n < params.batch; n++) {
      var d: array<f32, FILTERS>;
      for (var j = 0u; j < FILTERS; j++) {
        d[j] = dz[from_z + filter_at[j] * params.y_filter];
      }
      for (var i = 0u; i < CHANNELS; i++) {
        let input = x[from_x + i * params.x_channel];
        for (var j = 0u; j < FILTERS; j++) {
          sum[i][j] += input * d[j];
        }
      }
      from_x += params.x_sample;
      from_z += params.y_sample;
    }
  }
  for (var j = 0u; j < FILTERS; j++) {
    if (f + j * lanes < params.filters) {
      for (var i = 0u; i < CHANNELS; i++) {
        let at = params.w_base + (local_cell * params.window + k + i) * params.filters + filter_at[j];
        var value = sum[i][j];
        if (params.accumulate == 1u) {
          value += dw[at];
        }
        dw[at] = value;
      }
    }
  }
}
