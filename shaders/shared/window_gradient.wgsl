// The main of loop_grad_weights and loop_update: sum over n of x[n, window(p, k)] * dz[n, p, f] for each weight; 0
// where the tap lies outside the input. A thread computes the weights of TAPS neighbouring taps of the inner axis,
// CHANNELS Inputs of each, for FILTERS Units of filters. TAPS divides the taps of that axis, CHANNELS the Inputs of a
// group. The kernel declares x, dz and tables, and says what is done with a sum (`store`).
#import shared/cell
#import shared/dispatch
#import shared/inputs
#import shared/units
#import shared/window

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let units = params.filters / WIDTH;
  let lanes = (units + FILTERS - 1u) / FILTERS;
  let columns = params.group_channels / (CHANNELS * INPUT_WIDTH);
  let rows = params.taps / TAPS;
  let index = workgroup_index(group) * THREADS + lane;
  if (index >= params.cells * rows * columns * lanes) {
    return;
  }
  let f = index % lanes;
  let row = index / lanes;
  let c = row % columns * (CHANNELS * INPUT_WIDTH);
  let t = row / columns % rows * TAPS;
  let local_cell = row / columns / rows;
  let cell = cell_at(params.first_cell + local_cell);

  // For a tap outside the input anything is read; its sum isn't written. If all of a thread's taps are outside, nothing
  // is summed.
  let tables_at = tap_rows(cell.p);
  let outer = outer_offset(tables_at, t);
  let inner = inner_tap(tables_at, t);
  let channel_step = select(params.x_channel, 1u, INPUT_WIDTH == 4u);
  var any_inside = false;
  var inside: array<bool, TAPS>;
  var tap_at: array<u32, TAPS>;
  #unroll for (var s = 0u; s < TAPS; s++) {
    let offset = tables[inner + s];
    inside[s] = outer != NO_TAP && offset != NO_TAP;
    any_inside |= inside[s];
    tap_at[s] = (params.x_base + select(0u, outer + offset, inside[s])
      + (cell.g * params.group_channels + c) * params.x_channel) / INPUT_WIDTH;
  }
  // Units past the last repeat it; they aren't written.
  var unit_at: array<u32, FILTERS>;
  #unroll for (var j = 0u; j < FILTERS; j++) {
    unit_at[j] = min(f + j * lanes, units - 1u);
  }
  var sum: array<array<array<Unit, FILTERS>, CHANNELS * INPUT_WIDTH>, TAPS>;
  #unroll for (var s = 0u; s < TAPS; s++) {
    #unroll for (var i = 0u; i < CHANNELS * INPUT_WIDTH; i++) {
      #unroll for (var j = 0u; j < FILTERS; j++) {
        sum[s][i][j] = Unit(0.0);
      }
    }
  }
  let filter_step = select(params.y_filter, 1u, WIDTH == 4u);
  var from_x = 0u;
  var from_z = (params.y_base + output_of(cell, 0u)) / WIDTH;
  for (var n = 0u; n < select(0u, params.batch, any_inside); n++) {
    var d: array<Unit, FILTERS>;
    #unroll for (var j = 0u; j < FILTERS; j++) {
      d[j] = dz[from_z + unit_at[j] * filter_step];
    }
    var input: array<array<Input, CHANNELS>, TAPS>;
    #unroll for (var s = 0u; s < TAPS; s++) {
      #unroll for (var i = 0u; i < CHANNELS; i++) {
        input[s][i] = x[from_x + tap_at[s] + i * channel_step];
      }
    }
    #unroll for (var s = 0u; s < TAPS; s++) {
      #unroll for (var i = 0u; i < CHANNELS; i++) {
        #unroll for (var q = 0u; q < INPUT_WIDTH; q++) {
          #unroll for (var j = 0u; j < FILTERS; j++) {
            sum[s][i * INPUT_WIDTH + q][j] += of_input(input[s][i], q) * d[j];
          }
        }
      }
    }
    from_x += params.x_sample / INPUT_WIDTH;
    from_z += params.y_sample / WIDTH;
  }
  #unroll for (var j = 0u; j < FILTERS; j++) {
    if (f + j * lanes < units) {
      let origin = params.w_base / WIDTH + (local_cell * params.window + t * params.group_channels + c) * units + unit_at[j];
      #unroll for (var s = 0u; s < TAPS; s++) {
        #unroll for (var i = 0u; i < CHANNELS * INPUT_WIDTH; i++) {
          let at = origin + (s * params.group_channels + i) * units;
          store(at, select(Unit(0.0), sum[s][i][j], TAPS == 1u || inside[s]));
        }
      }
    }
  }
}
