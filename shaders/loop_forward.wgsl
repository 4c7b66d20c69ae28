// y[n, p, f] = activation(bias[p, f] + sum over k of x[n, window(p, k)] * w[p, k, f])
// A thread computes IMAGES samples by FILTERS filters of one cell in registers: each weight is loaded once for IMAGES
// products, each input once for FILTERS. Any sizes and strides; loop_forward_vec4 is the faster twin for quads.
@group(0) @binding(2) var<storage, read> x: array<f32>;        // input samples
@group(0) @binding(3) var<storage, read> b: array<f32>;        // bias, unused when use_bias is 0
@group(0) @binding(4) var<storage, read> tables: array<u32>;   // tap tables
@group(0) @binding(5) var<storage, read_write> y: array<f32>;  // output samples

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  // Lanes run along a cell's filters, then along cells; workgroups along images first, so that those that read the
  // same weights run at the same time.
  let lanes = (params.filters + FILTERS - 1u) / FILTERS;
  let tiles = (params.batch + IMAGES - 1u) / IMAGES;
  let index = workgroup_index(group);
  let column = index / tiles * 64u + lane;
  let first = index % tiles * IMAGES;
  if (index >= params.workgroups || column >= params.cells * lanes) {
    return;
  }
  let local_cell = column / lanes;
  let f = column % lanes;
  let cell = params.first_cell + local_cell;
  let p = cell / params.groups;
  let g = cell % params.groups;
  let o0 = p / (params.output_1 * params.output_2) * params.kernel_0 + params.forward_0;
  let o1 = p / params.output_2 % params.output_1 * params.kernel_1 + params.forward_1;
  let o2 = p % params.output_2 * params.kernel_2 + params.forward_2;

  // Samples past the batch and filters past the last repeat the last one; they are not written.
  var sample: array<u32, IMAGES>;
  for (var i = 0u; i < IMAGES; i++) {
    sample[i] = params.x_base + min(first + i, params.batch - 1u) * params.x_sample;
  }
  var filter_at: array<u32, FILTERS>;
  for (var j = 0u; j < FILTERS; j++) {
    filter_at[j] = min(f + j * lanes, params.filters - 1u);
  }
  var sum: array<array<f32, FILTERS>, IMAGES>;
  for (var i = 0u; i < IMAGES; i++) {
    for (var j = 0u; j < FILTERS; j++) {
      sum[i][j] = 0.0;
    }
  }
  var tap_row = params.w_base + local_cell * params.window * params.filters;
  for (var t0 = 0u; t0 < params.kernel_0; t0++) {
    let i0 = tables[o0 + t0];
    for (var t1 = 0u; t1 < params.kernel_1; t1++) {
      let i1 = tables[o1 + t1];
      for (var t2 = 0u; t2 < params.kernel_2; t2++) {
        let i2 = tables[o2 + t2];
        if (i0 != NO_TAP && i1 != NO_TAP && i2 != NO_TAP) {
          var at = i0 + i1 + i2 + g * params.group_channels * params.x_channel;
          var row = tap_row;
          for (var c = 0u; c < params.group_channels; c++) {
            var value: array<f32, FILTERS>;
            for (var j = 0u; j < FILTERS; j++) {
              value[j] = weight(row + filter_at[j]);
            }
            var input: array<f32, IMAGES>;
            for (var i = 0u; i < IMAGES; i++) {
              input[i] = x[sample[i] + at];
            }
            for (var i = 0u; i < IMAGES; i++) {
              for (var j = 0u; j < FILTERS; j++) {
                sum[i][j] += value[j] * input[i];
              }
            }
            at += params.x_channel;
            row += params.filters;
          }
        }
        tap_row += params.group_channels * params.filters;
      }
    }
  }

  for (var j = 0u; j < FILTERS; j++) {
    if (f + j * lanes < params.filters) {
      let filter_index = g * params.group_filters + params.first_filter + filter_at[j];
      var bias = 0.0;
      if (params.use_bias == 1u) {
        bias = b[params.b_base + p * params.b_location + filter_index * params.b_filter];
      }
      let at = params.y_base + p * params.y_location + filter_index * params.y_filter;
      for (var i = 0u; i < IMAGES; i++) {
        if (first + i < params.batch) {
          y[at + (first + i) * params.y_sample] = activate_cheap(sum[i][j] + bias);
        }
      }
    }
  }
  if (!is_cheap()) {
    // The same results, in loops whose ends aren't constants: see is_cheap.
    for (var j = f; j < params.filters; j += lanes) {
      let filter_index = g * params.group_filters + params.first_filter + j;
      let at = params.y_base + p * params.y_location + filter_index * params.y_filter;
      for (var n = first; n < min(first + IMAGES, params.batch); n++) {
        y[at + n * params.y_sample] = activate(y[at + n * params.y_sample]);
      }
    }
  }
}
