// loop_grad_input for few samples: the threads of a workgroup divide the terms of a position's sums, its readers and their filters,
// among them, LANES fours of filters and CHANNELS times ROWS channels side by side, and add their sums in a fixed order. ROWS
// divides a group's channels. For channels_last and filters in fours.
#import shared/accumulate with results = dx, Stored = f32
#import shared/cell
#import shared/dispatch
#import shared/join
#import shared/readers
#import shared/weights
const WIDTH = 4u;

// Binding 1, w: shared/weights, [cells][window][filters]
@group(0) @binding(2) var<storage, read> dz: array<vec4<f32>>;  // output samples
@group(0) @binding(3) var<storage, read> tables: array<u32>;    // tap tables
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;  // input samples

const COLUMN = CHANNELS * LANES;
const PARTS = THREADS / COLUMN;
// Steps that a thread loads before it uses the first: with more, what it loads leaves the registers.
const TURNS = max(1u, min(4u, 16u / IMAGES) / ROWS);
// Sums that are joined at a time: of all samples and some rows.
const SOME_ROWS = min(ROWS, 4096u / (THREADS * IMAGES));
const AT_ONCE = IMAGES * SOME_ROWS;
alias Value = f32;

var<workgroup> weights_at: array<u32, THREADS>;  // of some readers: their weights' rows, NO_TAP outside this chunk
var<workgroup> dz_at: array<u32, THREADS>;       //   and their outputs

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let fours = params.filters / 4u;
  let columns = (params.group_channels + CHANNELS * ROWS - 1u) / (CHANNELS * ROWS);
  let tiles = (params.batch + IMAGES - 1u) / IMAGES;
  let index = workgroup_index(group);
  if (index >= params.workgroups) {
    return;
  }
  let first = index % tiles * IMAGES;
  let position = index / tiles / columns / params.groups;
  let g = index / tiles / columns % params.groups;
  let c = (index / tiles % columns * CHANNELS + lane / LANES % CHANNELS) * ROWS;
  let part = lane / COLUMN;
  let four = lane % LANES;
  // Channels past the last repeat it; they are not written.
  let row = min(c, params.group_channels - ROWS) * fours;

  var sample: array<u32, IMAGES>;
  var sum: array<array<f32, ROWS>, IMAGES>;
  #unroll for (var i = 0u; i < IMAGES; i++) {
    let n = min(first + i, params.batch - 1u);
    sample[i] = (params.y_base + n * params.y_sample + filter_of(g, 0u)) / 4u;
    #unroll for (var j = 0u; j < ROWS; j++) {
      sum[i][j] = 0.0;
    }
  }
  let readers = readers_of(position);
  // Steps of LANES fours along the filters of a reader.
  let steps = (fours + LANES - 1u) / LANES;
  // From one of a thread's steps to its next, in readers and fours.
  let reader_step = PARTS / steps;
  let filter_step = PARTS % steps * LANES;
  for (var first_reader = 0u; first_reader < readers.count; first_reader += THREADS) {
    workgroupBarrier();
    if (first_reader + lane < readers.count) {
      let at = reader(readers, first_reader + lane);
      let cell = weights_of(at.x, g);
      let weights = params.w_base / 4u + (cell * params.window + at.y * params.group_channels) * fours;
      // Cells outside this chunk of the weights wrap around to large numbers.
      weights_at[lane] = select(NO_TAP, weights, cell < params.weight_cells);
      dz_at[lane] = at.x * params.y_location / 4u;
    }
    workgroupBarrier();
    let end = min(readers.count - first_reader, THREADS) * steps;
    var e = part / steps;
    var f = part % steps * LANES + four;
    for (var step = part; step < end; step += TURNS * PARTS) {
      // All is loaded before any of it is used, so that no load waits for another; what isn't there loads from the
      // start of the weights or sample and counts nothing.
      var there: array<bool, TURNS>;
      var from_w: array<u32, TURNS>;
      var from_z: array<u32, TURNS>;
      #unroll for (var r = 0u; r < TURNS; r++) {
        let place = min(e, THREADS - 1u);
        there[r] = step + r * PARTS < end && f < fours && weights_at[place] != NO_TAP;
        from_w[r] = select(0u, weights_at[place] + row + f, there[r]);
        from_z[r] = select(0u, dz_at[place] + f, there[r]);
        e += reader_step;
        f += filter_step;
        if (f >= steps * LANES) {
          f -= steps * LANES;
          e += 1u;
        }
      }
      // A single turn is taken or not; of several, those that aren't there count nothing.
      if (TURNS > 1u || there[0]) {
        var v: array<array<vec4<f32>, ROWS>, TURNS>;
        var output: array<array<vec4<f32>, IMAGES>, TURNS>;
        #unroll for (var r = 0u; r < TURNS; r++) {
          let taken = TURNS == 1u || there[r];
          #unroll for (var j = 0u; j < ROWS; j++) {
            v[r][j] = select(vec4<f32>(0.0), weight(from_w[r] + j * fours), taken);
          }
          #unroll for (var i = 0u; i < IMAGES; i++) {
            output[r][i] = select(vec4<f32>(0.0), dz[sample[i] + from_z[r]], taken);
          }
        }
        #unroll for (var r = 0u; r < TURNS; r++) {
          #unroll for (var i = 0u; i < IMAGES; i++) {
            #unroll for (var j = 0u; j < ROWS; j++) {
              sum[i][j] += dot(v[r][j], output[r][i]);
            }
          }
        }
      }
    }
  }

  #unroll for (var some = 0u; some < ROWS; some += SOME_ROWS) {
    var values: Values;
    #unroll for (var i = 0u; i < IMAGES; i++) {
      #unroll for (var j = 0u; j < SOME_ROWS; j++) {
        values[i * SOME_ROWS + j] = sum[i][some + j];
      }
    }
    // First along the fours of a channel, then over the parts.
    join(&values, lane, LANES, 1u, false);
    join(&values, lane, PARTS, COLUMN, false);
    #unroll for (var i = 0u; i < IMAGES; i++) {
      #unroll for (var j = 0u; j < SOME_ROWS; j++) {
        sum[i][some + j] = values[i * SOME_ROWS + j];
      }
    }
  }
  if (part == 0u && four == 0u && c < params.group_channels) {
    #unroll for (var i = 0u; i < IMAGES; i++) {
      if (first + i < params.batch) {
        #unroll for (var j = 0u; j < ROWS; j++) {
          let channel = g * params.group_channels + c + j;
          let at = params.x_base + (first + i) * params.x_sample + position * params.x_position
            + channel * params.x_channel;
          accumulate(at, sum[i][j]);
        }
      }
    }
  }
}
