// y[n, row, f] = activation(bias[row, f] + sum over the row's entries e of x[n, input of e] * w[e, f])
// A thread computes IMAGES samples by FILTERS filters of one row, AHEAD entries at a step.
#import shared/activation
#import shared/bias
#import shared/dispatch
#import shared/sparse_index
#import shared/weights
const WIDTH = 1u;

// Binding 1, w: shared/weights, [entries][filters]
@group(0) @binding(2) var<storage, read> x: array<f32>;        // input samples
@group(0) @binding(3) var<storage, read> b: array<f32>;        // bias, unused when use_bias is 0
@group(0) @binding(4) var<storage, read> index: array<u32>;    // sparse index
@group(0) @binding(5) var<storage, read_write> y: array<f32>;  // output samples

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  // As in loop_forward, lanes run along filters and rows, workgroups along images first.
  let lanes = (params.filters + FILTERS - 1u) / FILTERS;
  let tiles = (params.batch + IMAGES - 1u) / IMAGES;
  let workgroup = workgroup_index(group);
  let column = workgroup / tiles * THREADS + lane;
  let first = workgroup % tiles * IMAGES;
  if (workgroup >= params.workgroups || column >= params.cells * lanes) {
    return;
  }
  let row = params.first_cell + column / lanes;
  let f = column % lanes;

  // Samples past the batch and filters past the last repeat the last one; they aren't written.
  var sample: array<u32, IMAGES>;
  #unroll for (var i = 0u; i < IMAGES; i++) {
    sample[i] = params.x_base + min(first + i, params.batch - 1u) * params.x_sample;
  }
  var filter_at: array<u32, FILTERS>;
  #unroll for (var j = 0u; j < FILTERS; j++) {
    filter_at[j] = min(f + j * lanes, params.filters - 1u);
  }
  var sum: array<array<f32, FILTERS>, IMAGES>;
  #unroll for (var i = 0u; i < IMAGES; i++) {
    #unroll for (var j = 0u; j < FILTERS; j++) {
      sum[i][j] = 0.0;
    }
  }
  // Entries params.row to params.row + params.count of the row: all entries, unless a driver would end the loop.
  let begin = first_entry(row) + params.row;
  let end = min(first_entry(row + 1u), begin + params.count);
  for (var e = begin; e < end; e += AHEAD) {
    // All entries are loaded before any is used, so that no load waits for another. Entries past the last repeat it.
    var at: array<u32, AHEAD>;
    #unroll for (var r = 0u; r < AHEAD; r++) {
      at[r] = input_of_entry(min(e + r, end - 1u));
    }
    // A single entry is taken or left out. Of several, those that don't exist count nothing, whatever their weights
    // are.
    if (AHEAD > 1u || at[0] != NO_TAP) {
      var value: array<array<f32, FILTERS>, AHEAD>;
      var input: array<array<f32, IMAGES>, AHEAD>;
      #unroll for (var r = 0u; r < AHEAD; r++) {
        let there = AHEAD == 1u || (e + r < end && at[r] != NO_TAP);
        let row_weight = (min(e + r, end - 1u) - params.first_entry) * params.filters;
        #unroll for (var j = 0u; j < FILTERS; j++) {
          value[r][j] = select(0.0, weight(row_weight + filter_at[j]), there);
        }
        #unroll for (var i = 0u; i < IMAGES; i++) {
          input[r][i] = select(0.0, x[sample[i] + select(0u, at[r], there)], there);
        }
      }
      #unroll for (var r = 0u; r < AHEAD; r++) {
        #unroll for (var i = 0u; i < IMAGES; i++) {
          #unroll for (var j = 0u; j < FILTERS; j++) {
            sum[i][j] += value[r][j] * input[r][i];
          }
        }
      }
    }
  }
  #unroll for (var j = 0u; j < FILTERS; j++) {
    if (f + j * lanes < params.filters) {
      let offset = output_of(cell_at(row), filter_at[j]);
      var bias = 0.0;
      if (params.use_bias == 1u) {
        bias = bias_of(cell_at(row), filter_at[j]);
      }
      #unroll for (var i = 0u; i < IMAGES; i++) {
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
    // The results that aren't cheap to activate, in ordinary loops: see is_cheap.
    for (var j = f; j < params.filters; j += lanes) {
      let at = params.y_base + output_of(cell_at(row), j);
      for (var n = first; n < min(first + IMAGES, params.batch); n++) {
        y[at + n * params.y_sample] = activate(y[at + n * params.y_sample]);
      }
    }
  }
}
