// dw[p, k, f] = d[window(p, k)][column of (p, f)]: the connected entries of the dense gradient; 0 at clipped taps.
@group(0) @binding(1) var<storage, read> d: array<f32>;         // [dense_rows][dense_columns]
@group(0) @binding(2) var<storage, read> tables: array<u32>;    // tap tables
@group(0) @binding(3) var<storage, read_write> dw: array<f32>;  // [cells][window][filters], from w_base

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = workgroup_index(group) * 64u + lane;
  if (index >= params.count) {
    return;
  }
  let f = index % params.filters;
  let k = index / params.filters % params.window;
  let local_cell = index / params.filters / params.window;
  let cell = params.first_cell + local_cell;
  let p = cell / params.groups;
  let g = cell % params.groups;
  let t = k / params.group_channels;
  let c = k % params.group_channels;
  let window = window_offset(tap_rows(p), t);
  var value = 0.0;
  if (window != NO_TAP) {
    let row = window + (g * params.group_channels + c) * params.x_channel;
    value = d[row * params.dense_columns + local_cell * params.filters + f];
  }
  dw[params.w_base + index] = value;
}
