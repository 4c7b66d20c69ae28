// dw[g, k, f] = sum over p and n of x[n, window(p, k)] * dz[n, p, f], for weights that all locations share: in parts of some
// locations each, which add_parts adds. A location whose tap lies outside the input counts nothing.
// A thread computes the weights of CHANNELS Inputs of one tap for FILTERS Units of filters; CHANNELS divides the Inputs of a group.
#import shared/accumulate with results = dw, Stored = Unit
#import shared/cell
#import shared/dispatch
#import shared/inputs
#import shared/units
#import shared/window

@group(0) @binding(1) var<storage, read> x: array<Input>;        // input samples
@group(0) @binding(2) var<storage, read> dz: array<Unit>;        // output samples
@group(0) @binding(3) var<storage, read> tables: array<u32>;     // tap tables
@group(0) @binding(4) var<storage, read_write> dw: array<Unit>;  // [parts][weight_cells][window][filters]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let units = params.filters / WIDTH;
  let lanes = (units + FILTERS - 1u) / FILTERS;
  let columns = params.group_channels / (CHANNELS * INPUT_WIDTH);
  let rows = params.weight_cells * params.taps * columns;
  let index = workgroup_index(group) * THREADS + lane;
  if (index >= params.parts * rows * lanes) {
    return;
  }
  let f = index % lanes;
  let row = index / lanes % rows;
  let part = index / lanes / rows;
  let c = row % columns * (CHANNELS * INPUT_WIDTH);
  let t = row / columns % params.taps;
  let local_cell = row / columns / params.taps;
  let g = params.first_group + local_cell;

  // Units past the last repeat the last one; they are not written.
  var unit_at: array<u32, FILTERS>;
  #unroll for (var j = 0u; j < FILTERS; j++) {
    unit_at[j] = min(f + j * lanes, units - 1u);
  }
  var sum: array<array<Unit, FILTERS>, CHANNELS * INPUT_WIDTH>;
  #unroll for (var i = 0u; i < CHANNELS * INPUT_WIDTH; i++) {
    #unroll for (var j = 0u; j < FILTERS; j++) {
      sum[i][j] = Unit(0.0);
    }
  }
  let channel_step = select(params.x_channel, 1u, INPUT_WIDTH == 4u);
  let filter_step = select(params.y_filter, 1u, WIDTH == 4u);
  let first = params.first_location + part * params.part_locations;
  for (var p = first; p < min(first + params.part_locations, params.end_location); p++) {
    let window = window_offset(tap_rows(p), t);
    if (window != NO_TAP) {
      var from_x = (params.x_base + window + (g * params.group_channels + c) * params.x_channel) / INPUT_WIDTH;
      var from_z = (params.y_base + output_of(Cell(p, g), 0u)) / WIDTH;
      for (var n = 0u; n < params.batch; n++) {
        var d: array<Unit, FILTERS>;
        #unroll for (var j = 0u; j < FILTERS; j++) {
          d[j] = dz[from_z + unit_at[j] * filter_step];
        }
        #unroll for (var i = 0u; i < CHANNELS; i++) {
          let input = x[from_x + i * channel_step];
          #unroll for (var q = 0u; q < INPUT_WIDTH; q++) {
            #unroll for (var j = 0u; j < FILTERS; j++) {
              sum[i * INPUT_WIDTH + q][j] += of_input(input, q) * d[j];
            }
          }
        }
        from_x += params.x_sample / INPUT_WIDTH;
        from_z += params.y_sample / WIDTH;
      }
    }
  }
  let weight_row = (part * params.weight_cells + local_cell) * params.window + t * params.group_channels + c;
  #unroll for (var j = 0u; j < FILTERS; j++) {
    if (f + j * lanes < units) {
      #unroll for (var i = 0u; i < CHANNELS * INPUT_WIDTH; i++) {
        let at = (weight_row + i) * units + unit_at[j];
        accumulate(at, sum[i][j]);
      }
    }
  }
}
