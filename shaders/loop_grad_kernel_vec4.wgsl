// loop_grad_kernel for channels_last with channels and filters in fours: a thread computes four channels of one tap by
// QUADS quads of filters.
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;         // input samples
@group(0) @binding(2) var<storage, read> dz: array<vec4<f32>>;        // output samples
@group(0) @binding(3) var<storage, read> tables: array<u32>;          // tap tables
@group(0) @binding(4) var<storage, read_write> dw: array<vec4<f32>>;  // [cells][window][filters / 4]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let quads = params.filters / 4u;
  let lanes = (quads + QUADS - 1u) / QUADS;
  let rows = params.window / 4u;
  let index = workgroup_index(group) * 64u + lane;
  if (index >= params.cells * rows * lanes) {
    return;
  }
  let f = index % lanes;
  let k = index / lanes % rows * 4u;
  let local_cell = index / lanes / rows;
  let cell = params.first_cell + local_cell;
  let c = k % params.group_channels;
  let t = k / params.group_channels;
  let p = cell / params.groups;
  let g = cell % params.groups;
  let i0 = tables[params.forward_0 + p / (params.output_1 * params.output_2) * params.kernel_0
    + t / (params.kernel_1 * params.kernel_2)];
  let i1 = tables[params.forward_1 + p / params.output_2 % params.output_1 * params.kernel_1
    + t / params.kernel_2 % params.kernel_1];
  let i2 = tables[params.forward_2 + p % params.output_2 * params.kernel_2 + t % params.kernel_2];

  // Quads past the last repeat the last one; they are not written.
  var filter_at: array<u32, QUADS>;
  for (var j = 0u; j < QUADS; j++) {
    filter_at[j] = min(f + j * lanes, quads - 1u);
  }
  var sum: array<array<vec4<f32>, QUADS>, 4>;
  for (var i = 0u; i < 4u; i++) {
    for (var j = 0u; j < QUADS; j++) {
      sum[i][j] = vec4<f32>();
    }
  }
  if (i0 != NO_TAP && i1 != NO_TAP && i2 != NO_TAP) {
    var from_x = (params.x_base + i0 + i1 + i2 + g * params.group_channels + c) / 4u;
    var from_z = (params.y_base + p * params.y_location + g * params.group_filters + params.first_filter) / 4u;
    for (var n = 0u; n < params.batch; n++) {
      let input = x[from_x];
      for (var j = 0u; j < QUADS; j++) {
        let d = dz[from_z + filter_at[j]];
        sum[0][j] += input.x * d;
        sum[1][j] += input.y * d;
        sum[2][j] += input.z * d;
        sum[3][j] += input.w * d;
      }
      from_x += params.x_sample / 4u;
      from_z += params.y_sample / 4u;
    }
  }
  for (var j = 0u; j < QUADS; j++) {
    if (f + j * lanes < quads) {
      for (var i = 0u; i < 4u; i++) {
        let at = params.w_base / 4u + (local_cell * params.window + k + i) * quads + filter_at[j];
        dw[at] = sum[i][j] + select(vec4<f32>(), dw[at], params.accumulate == 1u);
      }
    }
  }
}
