// loop_grad_input for few samples: the threads of a workgroup divide the readers and filters of CHANNELS channels of a
// position among them, LANES quads of filters side by side, and add their sums in a fixed order. channels_last with
// filters in fours.
@group(0) @binding(2) var<storage, read> dz: array<vec4<f32>>;  // output samples
@group(0) @binding(3) var<storage, read> tables: array<u32>;    // tap tables
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;  // input samples

const COLUMN = CHANNELS * LANES;
const PARTS = THREADS / COLUMN;
// Rows of weights that a thread asks for before it uses the first: with more, they and the outputs leave the registers.
const AHEAD = min(4u, 16u / IMAGES);

var<workgroup> weights_at: array<u32, THREADS>;  // of some readers: their weights' rows, NO_TAP outside this chunk
var<workgroup> dz_at: array<u32, THREADS>;       //   and their outputs
var<workgroup> partial: array<array<f32, IMAGES>, THREADS / 2u>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let quads = params.filters / 4u;
  let columns = (params.group_channels + CHANNELS - 1u) / CHANNELS;
  let tiles = (params.batch + IMAGES - 1u) / IMAGES;
  let index = workgroup_index(group);
  if (index >= params.workgroups) {
    return;
  }
  let first = index % tiles * IMAGES;
  let position = index / tiles / columns / params.groups;
  let g = index / tiles / columns % params.groups;
  let c = index / tiles % columns * CHANNELS + lane / LANES % CHANNELS;
  let part = lane / COLUMN;
  let quad = lane % LANES;
  // Channels past the last repeat it; they are not written.
  let row = min(c, params.group_channels - 1u) * quads;

  var sample: array<u32, IMAGES>;
  var sum: array<f32, IMAGES>;
  for (var i = 0u; i < IMAGES; i++) {
    let n = min(first + i, params.batch - 1u);
    sample[i] = (params.y_base + n * params.y_sample + g * params.group_filters + params.first_filter) / 4u;
    sum[i] = 0.0;
  }
  let readers = readers_of(position);
  // Steps of LANES quads along the filters of a reader.
  let steps = (quads + LANES - 1u) / LANES;
  // From one of a thread's steps to its next, in readers and quads.
  let reader_step = PARTS / steps;
  let filter_step = PARTS % steps * LANES;
  for (var first_reader = 0u; first_reader < readers.count; first_reader += THREADS) {
    workgroupBarrier();
    if (first_reader + lane < readers.count) {
      let at = reader(readers, first_reader + lane);
      let cell = at.x * params.groups + g - params.first_cell;
      let weights = params.w_base / 4u + (cell * params.window + at.y * params.group_channels) * quads;
      // Cells outside this chunk of the weights wrap around to large numbers.
      weights_at[lane] = select(NO_TAP, weights, cell < params.cells);
      dz_at[lane] = at.x * params.y_location / 4u;
    }
    workgroupBarrier();
    let end = min(readers.count - first_reader, THREADS) * steps;
    var e = part / steps;
    var f = part % steps * LANES + quad;
    for (var step = part; step < end; step += AHEAD * PARTS) {
      // All is loaded before any of it is used, so that no load waits for another; what isn't there loads from the
      // start of the weights or sample and counts nothing.
      var v: array<vec4<f32>, AHEAD>;
      var output: array<array<vec4<f32>, IMAGES>, AHEAD>;
      for (var r = 0u; r < AHEAD; r++) {
        let place = min(e, THREADS - 1u);
        let there = step + r * PARTS < end && f < quads && weights_at[place] != NO_TAP;
        let at = select(0u, dz_at[place] + f, there);
        v[r] = select(vec4<f32>(), weight(select(0u, weights_at[place] + row + f, there)), there);
        for (var i = 0u; i < IMAGES; i++) {
          output[r][i] = select(vec4<f32>(), dz[sample[i] + at], there);
        }
        e += reader_step;
        f += filter_step;
        if (f >= steps * LANES) {
          f -= steps * LANES;
          e += 1u;
        }
      }
      for (var r = 0u; r < AHEAD; r++) {
        for (var i = 0u; i < IMAGES; i++) {
          sum[i] += dot(v[r], output[r][i]);
        }
      }
    }
  }

  // First along the quads of a channel, then over the parts.
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (quad >= half && quad < 2u * half) {
      partial[lane / LANES * half + quad - half] = sum;
    }
    workgroupBarrier();
    if (quad < half) {
      for (var i = 0u; i < IMAGES; i++) {
        sum[i] += partial[lane / LANES * half + quad][i];
      }
    }
  }
  for (var half = PARTS / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (part >= half && part < 2u * half) {
      partial[lane - half * COLUMN] = sum;
    }
    workgroupBarrier();
    if (part < half) {
      for (var i = 0u; i < IMAGES; i++) {
        sum[i] += partial[lane][i];
      }
    }
  }
  if (part == 0u && quad == 0u && c < params.group_channels) {
    let channel = g * params.group_channels + c;
    for (var i = 0u; i < IMAGES; i++) {
      if (first + i < params.batch) {
        let at = params.x_base + (first + i) * params.x_sample + position * params.x_position
          + channel * params.x_channel;
        var value = sum[i];
        if (params.accumulate == 1u) {
          value += dx[at];
        }
        dx[at] = value;
      }
    }
  }
}
