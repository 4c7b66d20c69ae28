// loop_forward for channels_last with channels and filters in fours: a thread computes IMAGES samples by QUADS quads of
// filters of one cell, four channels at a step.
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;        // input samples
@group(0) @binding(3) var<storage, read> b: array<vec4<f32>>;        // bias, unused when use_bias is 0
@group(0) @binding(4) var<storage, read> tables: array<u32>;         // tap tables
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;  // output samples

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  // As in loop_forward, lanes run along filters and cells, workgroups along images first.
  let quads = params.filters / 4u;
  let lanes = (quads + QUADS - 1u) / QUADS;
  let tiles = (params.batch + IMAGES - 1u) / IMAGES;
  let index = workgroup_index(group);
  let column = index / tiles * THREADS + lane;
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

  // Samples past the batch and quads past the last repeat the last one; they are not written.
  var sample: array<u32, IMAGES>;
  for (var i = 0u; i < IMAGES; i++) {
    sample[i] = (params.x_base + min(first + i, params.batch - 1u) * params.x_sample) / 4u;
  }
  var filter_at: array<u32, QUADS>;
  for (var j = 0u; j < QUADS; j++) {
    filter_at[j] = min(f * QUADS + j, quads - 1u);
  }
  var sum: array<array<vec4<f32>, QUADS>, IMAGES>;
  for (var i = 0u; i < IMAGES; i++) {
    for (var j = 0u; j < QUADS; j++) {
      sum[i][j] = vec4<f32>();
    }
  }
  let channels = params.group_channels / 4u;
  var tap_row = params.w_base / 4u + local_cell * params.window * quads;
  for (var t0 = 0u; t0 < params.kernel_0; t0++) {
    let i0 = tables[o0 + t0];
    for (var t1 = 0u; t1 < params.kernel_1; t1++) {
      let i1 = tables[o1 + t1];
      for (var t2 = 0u; t2 < params.kernel_2; t2++) {
        let i2 = tables[o2 + t2];
        if (i0 != NO_TAP && i1 != NO_TAP && i2 != NO_TAP) {
          let at = (i0 + i1 + i2) / 4u + g * channels;
          var row = tap_row;
          for (var c = 0u; c < channels; c++) {
            var v: array<array<vec4<f32>, QUADS>, 4>;
            for (var q = 0u; q < 4u; q++) {
              for (var j = 0u; j < QUADS; j++) {
                v[q][j] = weight(row + filter_at[j]);
              }
              row += quads;
            }
            for (var i = 0u; i < IMAGES; i++) {
              let input = x[sample[i] + at + c];
              for (var j = 0u; j < QUADS; j++) {
                sum[i][j] += v[0][j] * input.x + v[1][j] * input.y + v[2][j] * input.z + v[3][j] * input.w;
              }
            }
          }
        }
        tap_row += params.group_channels * quads;
      }
    }
  }

  for (var j = 0u; j < QUADS; j++) {
    if (f * QUADS + j < quads) {
      let filter_index = g * params.group_filters + params.first_filter + 4u * filter_at[j];
      var bias = vec4<f32>();
      if (params.use_bias == 1u) {
        bias = b[(params.b_base + p * params.b_location + filter_index) / 4u];
      }
      let at = (params.y_base + p * params.y_location + filter_index) / 4u;
      for (var i = 0u; i < IMAGES; i++) {
        if (first + i < params.batch) {
          let z = sum[i][j] + bias;
          y[at + (first + i) * params.y_sample / 4u] = activate_cheap_four(z);
        }
      }
    }
  }
  if (!is_cheap()) {
    // The same results, in loops whose ends aren't constants: see is_cheap.
    for (var quad = f * QUADS; quad < min(f * QUADS + QUADS, quads); quad++) {
      let filter_index = g * params.group_filters + params.first_filter + 4u * quad;
      let at = (params.y_base + p * params.y_location + filter_index) / 4u;
      for (var n = first; n < min(first + IMAGES, params.batch); n++) {
        let z = y[at + n * params.y_sample / 4u];
        y[at + n * params.y_sample / 4u] = vec4(activate(z.x), activate(z.y), activate(z.z), activate(z.w));
      }
    }
  }
}
