// loop_forward for few samples, where reading the weights takes most of the time, or for few filters: the threads of a workgroup
// divide a cell's K rows of weights among them, LANES Units of filters side by side, so that together they read them from end to
// end, and add their sums in a fixed order. A thread takes the rows of an Input's channels together.
#import shared/activation
#import shared/bias
#import shared/dispatch
#import shared/inputs
#import shared/join
#import shared/weights
#import shared/window

// Binding 1, w: shared/weights, [cells][window][filters]
@group(0) @binding(2) var<storage, read> x: array<Input>;      // input samples
@group(0) @binding(3) var<storage, read> b: array<f32>;        // bias, unused when use_bias is 0
@group(0) @binding(4) var<storage, read> tables: array<u32>;   // tap tables
@group(0) @binding(5) var<storage, read_write> y: array<f32>;  // output samples

// The uniform says which activation: a switch costs little beside these sums.
const ACTIVATION = ANY;
const PARTS = THREADS / LANES;
// Rows of weights that a thread asks for before it uses the first, in turns of INPUT_WIDTH.
const AHEAD = 4u;
const TURNS = AHEAD / INPUT_WIDTH;
// Taps whose offsets are known at a time, so many that there are rows for all threads to ask for.
const TAPS = AHEAD * THREADS;
// Samples whose sums are joined at a time.
alias Value = Unit;
const AT_ONCE = min(IMAGES, 4u);

var<workgroup> offset: array<u32, TAPS>;  // of some taps' inputs

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let units = params.filters / WIDTH;
  let columns = (units + LANES - 1u) / LANES;
  let tiles = (params.batch + IMAGES - 1u) / IMAGES;
  let index = workgroup_index(group);
  if (index >= params.workgroups) {
    return;
  }
  let first = index % tiles * IMAGES;
  let cell = cell_at(params.first_cell + index / tiles / columns);
  let unit = index / tiles % columns * LANES + lane % LANES;
  let part = lane / LANES;
  let weights = params.w_base / WIDTH + weights_of(cell.p, cell.g) * params.window * units + min(unit, units - 1u);

  // Samples past the batch repeat the last one; they are not written.
  var sample: array<u32, IMAGES>;
  var sum: array<Unit, IMAGES>;
  #unroll for (var i = 0u; i < IMAGES; i++) {
    sample[i] = params.x_base + min(first + i, params.batch - 1u) * params.x_sample
      + cell.g * params.group_channels * params.x_channel;
    sum[i] = Unit(0.0);
  }
  // From one of a thread's turns to its next: in taps, channels, and elements of the weights.
  let tap_step = PARTS * INPUT_WIDTH / params.group_channels;
  let channel_step = PARTS * INPUT_WIDTH % params.group_channels;
  let row_step = PARTS * INPUT_WIDTH * units;
  for (var first_tap = 0u; first_tap < params.taps; first_tap += TAPS) {
    let some_taps = min(params.taps - first_tap, TAPS);
    workgroupBarrier();
    for (var t = lane; t < some_taps; t += THREADS) {
      offset[t] = window_offset(tap_rows(cell.p), first_tap + t);
    }
    workgroupBarrier();
    let rows = some_taps * params.group_channels;
    var t = part * INPUT_WIDTH / params.group_channels;
    var c = part * INPUT_WIDTH % params.group_channels;
    var row_at = weights + (first_tap * params.group_channels + part * INPUT_WIDTH) * units;
    for (var k = part * INPUT_WIDTH; k < rows; k += AHEAD * PARTS) {
      // All is loaded before any of it is used, so that no load waits for another; what isn't there loads from the
      // start of its cell or sample and counts nothing. Weights of clipped taps may be anything, also not a number.
      var there: array<bool, TURNS>;
      var from_w: array<u32, TURNS>;
      var from_x: array<u32, TURNS>;
      #unroll for (var r = 0u; r < TURNS; r++) {
        let window = offset[min(t, TAPS - 1u)];
        there[r] = k + r * PARTS * INPUT_WIDTH < rows && window != NO_TAP;
        from_w[r] = select(weights, row_at, there[r]);
        from_x[r] = select(0u, window + c * params.x_channel, there[r]);
        row_at += row_step;
        t += tap_step;
        c += channel_step;
        if (c >= params.group_channels) {
          c -= params.group_channels;
          t += 1u;
        }
      }
      // A single turn is taken or not; of several, those that aren't there count nothing.
      if (TURNS > 1u || there[0]) {
        var v: array<array<Unit, INPUT_WIDTH>, TURNS>;
        var input: array<array<Input, IMAGES>, TURNS>;
        #unroll for (var r = 0u; r < TURNS; r++) {
          #unroll for (var j = 0u; j < INPUT_WIDTH; j++) {
            v[r][j] = select(Unit(0.0), weight(from_w[r] + j * units), TURNS == 1u || there[r]);
          }
          #unroll for (var i = 0u; i < IMAGES; i++) {
            input[r][i] = select(Input(0.0), x[(sample[i] + from_x[r]) / INPUT_WIDTH], TURNS == 1u || there[r]);
          }
        }
        #unroll for (var r = 0u; r < TURNS; r++) {
          #unroll for (var i = 0u; i < IMAGES; i++) {
            #unroll for (var j = 0u; j < INPUT_WIDTH; j++) {
              sum[i] += v[r][j] * of_input(input[r][i], j);
            }
          }
        }
      }
    }
  }

  #unroll for (var some = 0u; some < IMAGES; some += AT_ONCE) {
    var values: Values;
    #unroll for (var i = 0u; i < AT_ONCE; i++) {
      values[i] = sum[some + i];
    }
    join(&values, lane, PARTS, LANES, false);
    #unroll for (var i = 0u; i < AT_ONCE; i++) {
      sum[some + i] = values[i];
    }
  }
  if (part == 0u && unit < units) {
    #unroll for (var l = 0u; l < WIDTH; l++) {
      let f = WIDTH * unit + l;
      var bias = 0.0;
      if (params.use_bias == 1u) {
        bias = bias_of(cell, f);
      }
      let at = params.y_base + output_of(cell, f);
      #unroll for (var i = 0u; i < IMAGES; i++) {
        if (first + i < params.batch) {
          y[at + (first + i) * params.y_sample] = activate_cheap(of_unit(sum[i], l) + bias);
        }
      }
    }
    if (!is_cheap()) {
      // The same results, in loops that stay loops: see is_cheap.
      for (var l = 0u; l < WIDTH; l++) {
        let at = params.y_base + output_of(cell, WIDTH * unit + l);
        for (var n = first; n < min(first + IMAGES, params.batch); n++) {
          y[at + n * params.y_sample] = activate(y[at + n * params.y_sample]);
        }
      }
    }
  }
}
