// dw[p, k, f] = sum over n of x[n, window(p, k)] * dz[n, p, f]; 0 where the tap lies outside the input.
// A thread computes CHANNELS channels of TAPS taps along the inner axis by FILTERS filters; TAPS divides the taps of
// that axis, CHANNELS the channels of a group.
@group(0) @binding(1) var<storage, read> x: array<f32>;         // input samples
@group(0) @binding(2) var<storage, read> dz: array<f32>;        // output samples
@group(0) @binding(3) var<storage, read> tables: array<u32>;    // tap tables
@group(0) @binding(4) var<storage, read_write> dw: array<f32>;  // [cells][window][filters]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let lanes = (params.filters + FILTERS - 1u) / FILTERS;
  let columns = params.group_channels / CHANNELS;
  let rows = params.taps / TAPS;
  let index = workgroup_index(group) * 64u + lane;
  if (index >= params.cells * rows * columns * lanes) {
    return;
  }
  let f = index % lanes;
  let row = index / lanes;
  let c = row % columns * CHANNELS;
  let t = row / columns % rows * TAPS;
  let local_cell = row / columns / rows;
  let cell = params.first_cell + local_cell;
  let p = cell / params.groups;
  let g = cell % params.groups;

  // Taps outside the input read anything; what they sum is not written.
  let tables_at = tap_rows(p);
  let outer = outer_offset(tables_at, t);
  let inner = inner_tap(tables_at, t);
  var inside: array<bool, TAPS>;
  var tap_at: array<u32, TAPS>;
  for (var s = 0u; s < TAPS; s++) {
    let offset = tables[inner + s];
    inside[s] = outer != NO_TAP && offset != NO_TAP;
    tap_at[s] = select(0u, outer + offset, inside[s]) + (g * params.group_channels + c) * params.x_channel;
  }
  // Filters past the last repeat the last one; they are not written.
  var filter_at: array<u32, FILTERS>;
  for (var j = 0u; j < FILTERS; j++) {
    filter_at[j] = min(f + j * lanes, params.filters - 1u);
  }
  var sum: array<array<array<f32, FILTERS>, CHANNELS>, TAPS>;
  for (var s = 0u; s < TAPS; s++) {
    for (var i = 0u; i < CHANNELS; i++) {
      for (var j = 0u; j < FILTERS; j++) {
        sum[s][i][j] = 0.0;
      }
    }
  }
  var from_x = params.x_base;
  var from_z = params.y_base + p * params.y_location + (g * params.group_filters + params.first_filter) * params.y_filter;
  for (var n = 0u; n < params.batch; n++) {
    var d: array<f32, FILTERS>;
    for (var j = 0u; j < FILTERS; j++) {
      d[j] = dz[from_z + filter_at[j] * params.y_filter];
    }
    var input: array<array<f32, CHANNELS>, TAPS>;
    for (var s = 0u; s < TAPS; s++) {
      for (var i = 0u; i < CHANNELS; i++) {
        input[s][i] = x[from_x + tap_at[s] + i * params.x_channel];
      }
    }
    for (var s = 0u; s < TAPS; s++) {
      for (var i = 0u; i < CHANNELS; i++) {
        for (var j = 0u; j < FILTERS; j++) {
          sum[s][i][j] += input[s][i] * d[j];
        }
      }
    }
    from_x += params.x_sample;
    from_z += params.y_sample;
  }
  for (var s = 0u; s < TAPS; s++) {
    for (var i = 0u; i < CHANNELS; i++) {
      let entry = local_cell * params.window + (t + s) * params.group_channels + c + i;
      for (var j = 0u; j < FILTERS; j++) {
        if (f + j * lanes < params.filters) {
          let at = params.w_base + entry * params.filters + filter_at[j];
          var value = select(0.0, sum[s][i][j], inside[s]);
          if (params.accumulate == 1u) {
            value += dw[at];
          }
          dw[at] = value;
        }
      }
    }
  }
}
