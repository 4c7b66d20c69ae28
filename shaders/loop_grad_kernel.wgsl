// dw[p, k, f] = sum over n of x[n, window(p, k)] * dz[n, p, f]; 0 where the tap lies outside the input.
@group(0) @binding(1) var<storage, read> x: array<f32>;         // input samples
@group(0) @binding(2) var<storage, read> dz: array<f32>;        // output samples
@group(0) @binding(3) var<storage, read> tables: array<u32>;    // tap tables
@group(0) @binding(4) var<storage, read_write> dw: array<f32>;  // [cells][window][filters]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = workgroup_index(group) * 64u + lane;
  if (index >= params.count) {
    return;
  }
  let f = index % params.filters;
  let row = index / params.filters;
  let k = row % params.window;
  let cell = params.first_cell + row / params.window;
  let c = k % params.group_channels;
  let t = k / params.group_channels;
  let p = cell / params.groups;
  let g = cell % params.groups;
  let i0 = tables[params.forward_0 + p / (params.output_1 * params.output_2) * params.kernel_0
    + t / (params.kernel_1 * params.kernel_2)];
  let i1 = tables[params.forward_1 + p / params.output_2 % params.output_1 * params.kernel_1
    + t / params.kernel_2 % params.kernel_1];
  let i2 = tables[params.forward_2 + p % params.output_2 * params.kernel_2 + t % params.kernel_2];
  var sum = 0.0;
  if (i0 != NO_TAP && i1 != NO_TAP && i2 != NO_TAP) {
    var from_x = params.x_base + i0 + i1 + i2 + (g * params.group_channels + c) * params.x_channel;
    var from_z = params.y_base + p * params.y_location
      + (g * params.group_filters + params.first_filter + f) * params.y_filter;
    for (var n = 0u; n < params.batch; n++) {
      sum += x[from_x] * dz[from_z];
      from_x += params.x_sample;
      from_z += params.y_sample;
    }
  }
  let at = params.w_base + index;
  dw[at] = sum + select(0.0, dw[at], params.accumulate == 1u);
}
