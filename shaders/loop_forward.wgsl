// y[n, p, f] = activation(bias[p, f] + sum over k of x[n, window(p, k)] * w[p, k, f])
// A thread sums the outputs of one cell for IMAGES samples and FILTERS Units of filters in registers, an Input of channels at a
// step: each weight is loaded once for IMAGES samples, each input once for FILTERS Units.
#import shared/bias
#import shared/dispatch
#import shared/finish_stored
#import shared/inputs
#import shared/weights
#import shared/window

// Binding 1, w: shared/weights, [cells][window][filters]
@group(0) @binding(2) var<storage, read> x: array<Input>;       // input samples
@group(0) @binding(3) var<storage, read> b: array<f32>;         // bias, unused when use_bias is 0
@group(0) @binding(4) var<storage, read> tables: array<u32>;    // tap tables
@group(0) @binding(5) var<storage, read_write> y: array<Unit>;  // output samples

// Which of the cell's Units a thread's number j is; it may be past the last. A thread's own Units follow each other where they are
// fours, so that it reads whole lines of memory; single filters that follow each other are neighbouring threads'.
fn own_unit(f: u32, j: u32, lanes: u32) -> u32 {
  return select(f + j * lanes, f * FILTERS + j, WIDTH == 4u);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  // Lanes run along a cell's filters, then along cells; workgroups along images first, so that those that read the
  // same weights run at the same time.
  let units = params.filters / WIDTH;
  let lanes = (units + FILTERS - 1u) / FILTERS;
  let tiles = (params.batch + IMAGES - 1u) / IMAGES;
  let index = workgroup_index(group);
  let column = index / tiles * THREADS + lane;
  let first = index % tiles * IMAGES;
  if (index >= params.workgroups || column >= params.cells * lanes) {
    return;
  }
  let f = column % lanes;
  let cell = cell_at(params.first_cell + column / lanes);
  let rows = tap_rows(cell.p);

  // Samples past the batch and units past the last repeat the last one; they are not written.
  var sample: array<u32, IMAGES>;
  #unroll for (var i = 0u; i < IMAGES; i++) {
    sample[i] = (params.x_base + min(first + i, params.batch - 1u) * params.x_sample) / INPUT_WIDTH;
  }
  var unit_at: array<u32, FILTERS>;
  #unroll for (var j = 0u; j < FILTERS; j++) {
    unit_at[j] = min(own_unit(f, j, lanes), units - 1u);
  }
  var sum: array<array<Unit, FILTERS>, IMAGES>;
  #unroll for (var i = 0u; i < IMAGES; i++) {
    #unroll for (var j = 0u; j < FILTERS; j++) {
      sum[i][j] = Unit(0.0);
    }
  }
  let channels = params.group_channels / INPUT_WIDTH;
  let channel_step = select(params.x_channel, 1u, INPUT_WIDTH == 4u);
  var tap_row = params.w_base / WIDTH + weights_of(cell.p, cell.g) * params.window * units;
  for (var t0 = 0u; t0 < params.taps_0; t0++) {
    let i0 = tables[rows.x + t0];
    for (var t1 = 0u; t1 < params.taps_1; t1++) {
      let i1 = tables[rows.y + t1];
      for (var t2 = 0u; t2 < params.taps_2; t2++) {
        let i2 = tables[rows.z + t2];
        if (i0 != NO_TAP && i1 != NO_TAP && i2 != NO_TAP) {
          var at = (i0 + i1 + i2) / INPUT_WIDTH + cell.g * channels * channel_step;
          var row = tap_row;
          for (var c = 0u; c < channels; c++) {
            var value: array<array<Unit, FILTERS>, INPUT_WIDTH>;
            #unroll for (var q = 0u; q < INPUT_WIDTH; q++) {
              #unroll for (var j = 0u; j < FILTERS; j++) {
                value[q][j] = weight(row + unit_at[j]);
              }
              row += units;
            }
            #unroll for (var i = 0u; i < IMAGES; i++) {
              let input = x[sample[i] + at];
              #unroll for (var q = 0u; q < INPUT_WIDTH; q++) {
                #unroll for (var j = 0u; j < FILTERS; j++) {
                  sum[i][j] += value[q][j] * of_input(input, q);
                }
              }
            }
            at += channel_step;
          }
        }
        tap_row += params.group_channels * units;
      }
    }
  }

  #unroll for (var j = 0u; j < FILTERS; j++) {
    if (own_unit(f, j, lanes) < units) {
      var bias = vec4<f32>(0.0);
      if (params.use_bias == 1u) {
        #unroll for (var l = 0u; l < WIDTH; l++) {
          bias[l] = bias_of(cell, WIDTH * unit_at[j] + l);
        }
      }
      let at = (params.y_base + output_of(cell, WIDTH * unit_at[j])) / WIDTH;
      #unroll for (var i = 0u; i < IMAGES; i++) {
        if (first + i < params.batch) {
          let four = with_unit(vec4<f32>(0.0), 0u, sum[i][j]);
          y[at + (first + i) * (params.y_sample / WIDTH)] = unit_of(activate_cheap_four(four + bias), 0u);
        }
      }
    }
  }
  if (!is_cheap()) {
    // The same results, in loops that stay loops: see is_cheap.
    for (var j = 0u; j < FILTERS; j++) {
      let unit = own_unit(f, j, lanes);
      let at = (params.y_base + output_of(cell, WIDTH * unit)) / WIDTH;
      for (var n = first; n < min(first + IMAGES, params.batch); n++) {
        if (unit < units) {
          finish_stored(at + n * (params.y_sample / WIDTH));
        }
      }
    }
  }
}
