// y[n, row, f] = activation(bias[row, f] + sum over the row's entries e of x[n, input of e] * w[e, f])
// A thread computes IMAGES samples by FILTERS filters of one row, AHEAD entries at a step.
@group(0) @binding(2) var<storage, read> x: array<f32>;        // input samples
@group(0) @binding(3) var<storage, read> b: array<f32>;        // bias, unused when use_bias is 0
@group(0) @binding(4) var<storage, read> index: array<u32>;    // sparse index
@group(0) @binding(5) var<storage, read_write> y: array<f32>;  // output samples

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  // As in loop_forward, lanes run along filters and rows, workgroups along images first.
  let lanes = (params.filters + FILTERS - 1u) / FILTERS;
  let tiles = (params.batch + IMAGES - 1u) / IMAGES;
  let workgroup = workgroup_index(group);
  let column = workgroup / tiles * 64u + lane;
  let first = workgroup % tiles * IMAGES;
  if (workgroup >= params.workgroups || column >= params.cells * lanes) {
    return;
  }
  let row = params.first_cell + column / lanes;
  let f = column % lanes;

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
  // Entries number params.row to params.row + params.count of the row: all, unless a driver would end the loop before.
  let begin = index[params.forward_0 + row] + params.row;
  let end = min(index[params.forward_0 + row + 1u], begin + params.count);
  for (var e = begin; e < end; e += AHEAD) {
    // All is loaded before any of it is used, so that no load waits for another; entries past the last repeat it.
    var at: array<u32, AHEAD>;
    for (var r = 0u; r < AHEAD; r++) {
      at[r] = index[params.forward_1 + 2u * min(e + r, end - 1u)];
    }
    // A single entry is taken or not; of several, those that aren't there count nothing, whatever their weights are.
    if (AHEAD > 1u || at[0] != NO_TAP) {
      var value: array<array<f32, FILTERS>, AHEAD>;
      var input: array<array<f32, IMAGES>, AHEAD>;
      for (var r = 0u; r < AHEAD; r++) {
        let there = AHEAD == 1u || (e + r < end && at[r] != NO_TAP);
        let row_weight = (min(e + r, end - 1u) - params.first_entry) * params.filters;
        for (var j = 0u; j < FILTERS; j++) {
          value[r][j] = select(0.0, weight(row_weight + filter_at[j]), there);
        }
        for (var i = 0u; i < IMAGES; i++) {
          input[r][i] = select(0.0, x[sample[i] + select(0u, at[r], there)], there);
        }
      }
      for (var r = 0u; r < AHEAD; r++) {
        for (var i = 0u; i < IMAGES; i++) {
          for (var j = 0u; j < FILTERS; j++) {
            sum[i][j] += value[r][j] * input[r][i];
          }
        }
      }
    }
  }
  for (var j = 0u; j < FILTERS; j++) {
    if (f + j * lanes < params.filters) {
      let offset = row_offset(row, filter_at[j]);
      var bias = 0.0;
      if (params.use_bias == 1u) {
        let filter_index = row % params.groups * params.group_filters + params.first_filter + filter_at[j];
        bias = b[params.b_base + row / params.groups * params.b_location + filter_index * params.b_filter];
      }
      for (var i = 0u; i < IMAGES; i++) {
        if (first + i < params.batch) {
          let at = params.y_base + (first + i) * params.y_sample + offset;
          var value = sum[i][j] + bias;
          if (params.accumulate == 1u) {
            value += y[at];
          }
          y[at] = activate_cheap(value);
        }
      }
    }
  }
  if (!is_cheap()) {
    // The same results, in loops whose ends aren't constants: see is_cheap.
    for (var j = f; j < params.filters; j += lanes) {
      let at = params.y_base + row_offset(row, j);
      for (var n = first; n < min(first + IMAGES, params.batch); n++) {
        y[at + n * params.y_sample] = activate(y[at + n * params.y_sample]);
      }
    }
  }
}
