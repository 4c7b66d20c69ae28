// y[n, p, f] = activation(bias[p, f] + sum over k of x[n, window(p, k)] * w[p, k, f])
// A thread computes one filter of one cell for IMAGES samples, so that each weight is loaded once for all of them.
@group(0) @binding(1) var<storage, read> x: array<f32>;        // input samples
@group(0) @binding(2) var<storage, read> w: array<f32>;        // [cells][window][filters]
@group(0) @binding(3) var<storage, read> b: array<f32>;        // bias, unused when use_bias is 0
@group(0) @binding(4) var<storage, read> tables: array<u32>;   // tap tables
@group(0) @binding(5) var<storage, read_write> y: array<f32>;  // output samples

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let columns = params.cells * params.filters;
  let column_groups = (columns + 63u) / 64u;
  let index = workgroup_index(group);
  let column = index % column_groups * 64u + lane;
  let first = index / column_groups * IMAGES;
  if (column >= columns || first >= params.batch) {
    return;
  }
  let local_cell = column / params.filters;
  let f = column % params.filters;
  let cell = params.first_cell + local_cell;
  let p = cell / params.groups;
  let g = cell % params.groups;
  let o0 = p / (params.output_1 * params.output_2) * params.kernel_0 + params.forward_0;
  let o1 = p / params.output_2 % params.output_1 * params.kernel_1 + params.forward_1;
  let o2 = p % params.output_2 * params.kernel_2 + params.forward_2;

  // Samples past the batch repeat the last one; they are not written.
  var sample: array<u32, IMAGES>;
  var sum: array<f32, IMAGES>;
  for (var i = 0u; i < IMAGES; i++) {
    sample[i] = params.x_base + min(first + i, params.batch - 1u) * params.x_sample;
    sum[i] = 0.0;
  }
  var weight = params.w_base + local_cell * params.window * params.filters + f;
  for (var t0 = 0u; t0 < params.kernel_0; t0++) {
    let i0 = tables[o0 + t0];
    for (var t1 = 0u; t1 < params.kernel_1; t1++) {
      let i1 = tables[o1 + t1];
      for (var t2 = 0u; t2 < params.kernel_2; t2++) {
        let i2 = tables[o2 + t2];
        if (i0 != NO_TAP && i1 != NO_TAP && i2 != NO_TAP) {
          var at = i0 + i1 + i2 + g * params.group_channels * params.x_channel;
          for (var c = 0u; c < params.group_channels; c++) {
            let value = w[weight + c * params.filters];
            for (var i = 0u; i < IMAGES; i++) {
              sum[i] += value * x[sample[i] + at];
            }
            at += params.x_channel;
          }
        }
        weight += params.group_channels * params.filters;
      }
    }
  }

  let filter_index = g * params.group_filters + params.first_filter + f;
  var bias = 0.0;
  if (params.use_bias == 1u) {
    bias = b[params.b_base + p * params.b_location + filter_index * params.b_filter];
  }
  for (var i = 0u; i < IMAGES; i++) {
    if (first + i < params.batch) {
      y[params.y_base + (first + i) * params.y_sample + p * params.y_location + filter_index * params.y_filter] =
        activate(sum[i] + bias);
    }
  }
}
