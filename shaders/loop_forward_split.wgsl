// loop_forward for few samples, where the weights are a stream that must not run dry: the threads of a workgroup divide
// a cell's K among them, LANES quads of filters side by side, so that together they read it from end to end, and add
// their sums in a fixed order. Filters in fours; channels and formats any.
@group(0) @binding(2) var<storage, read> x: array<f32>;        // input samples
@group(0) @binding(3) var<storage, read> b: array<f32>;        // bias, unused when use_bias is 0
@group(0) @binding(4) var<storage, read> tables: array<u32>;   // tap tables
@group(0) @binding(5) var<storage, read_write> y: array<f32>;  // output samples

// Chosen by the uniform: little beside the sums.
const ACTIVATION = ANY;
const PARTS = THREADS / LANES;
// Rows of weights that a thread asks for before it uses the first.
const AHEAD = 4u;
// Samples whose sums are added at a time.
const AT_ONCE = min(IMAGES, 4u);

var<workgroup> offset: array<u32, THREADS>;  // of some taps' inputs
var<workgroup> partial: array<vec4<f32>, AT_ONCE * THREADS / 2u>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let quads = params.filters / 4u;
  let columns = (quads + LANES - 1u) / LANES;
  let tiles = (params.batch + IMAGES - 1u) / IMAGES;
  let index = workgroup_index(group);
  if (index >= params.workgroups) {
    return;
  }
  let first = index % tiles * IMAGES;
  let local_cell = index / tiles / columns;
  let cell = params.first_cell + local_cell;
  let p = cell / params.groups;
  let g = cell % params.groups;
  let quad = index / tiles % columns * LANES + lane % LANES;
  let part = lane / LANES;
  let weights = params.w_base / 4u + local_cell * params.window * quads + min(quad, quads - 1u);

  // Samples past the batch repeat the last one; they are not written.
  var sample: array<u32, IMAGES>;
  var sum: array<vec4<f32>, IMAGES>;
  for (var i = 0u; i < IMAGES; i++) {
    sample[i] = params.x_base + min(first + i, params.batch - 1u) * params.x_sample
      + g * params.group_channels * params.x_channel;
    sum[i] = vec4<f32>();
  }
  // From one of a thread's rows to its next, in taps and channels.
  let tap_step = PARTS / params.group_channels;
  let channel_step = PARTS % params.group_channels;
  for (var first_tap = 0u; first_tap < params.taps; first_tap += THREADS) {
    workgroupBarrier();
    if (first_tap + lane < params.taps) {
      offset[lane] = window_offset(p, first_tap + lane);
    }
    workgroupBarrier();
    let end = min(params.taps, first_tap + THREADS) * params.group_channels;
    var t = part / params.group_channels;
    var c = part % params.group_channels;
    for (var k = first_tap * params.group_channels + part; k < end; k += AHEAD * PARTS) {
      // All is loaded before any of it is used, so that no load waits for another; what isn't there loads from the
      // start of its cell or sample and counts nothing. Weights of clipped taps may be anything, also not a number.
      var v: array<vec4<f32>, AHEAD>;
      var input: array<array<f32, IMAGES>, AHEAD>;
      for (var r = 0u; r < AHEAD; r++) {
        let row = k + r * PARTS;
        let window = offset[min(t, THREADS - 1u)];
        let there = row < end && window != NO_TAP;
        let at = select(0u, window + c * params.x_channel, there);
        v[r] = select(vec4<f32>(), weight(weights + select(0u, row, there) * quads), there);
        for (var i = 0u; i < IMAGES; i++) {
          input[r][i] = select(0.0, x[sample[i] + at], there);
        }
        t += tap_step;
        c += channel_step;
        if (c >= params.group_channels) {
          c -= params.group_channels;
          t += 1u;
        }
      }
      for (var r = 0u; r < AHEAD; r++) {
        for (var i = 0u; i < IMAGES; i++) {
          sum[i] += v[r] * input[r][i];
        }
      }
    }
  }

  for (var some = 0u; some < IMAGES; some += AT_ONCE) {
    for (var half = PARTS / 2u; half > 0u; half /= 2u) {
      workgroupBarrier();
      if (part >= half && part < 2u * half) {
        for (var i = 0u; i < AT_ONCE; i++) {
          partial[i * THREADS / 2u + lane - half * LANES] = sum[some + i];
        }
      }
      workgroupBarrier();
      if (part < half) {
        for (var i = 0u; i < AT_ONCE; i++) {
          sum[some + i] += partial[i * THREADS / 2u + lane];
        }
      }
    }
  }
  if (part == 0u && quad < quads) {
    for (var l = 0u; l < 4u; l++) {
      let filter_index = g * params.group_filters + params.first_filter + 4u * quad + l;
      var bias = 0.0;
      if (params.use_bias == 1u) {
        bias = b[params.b_base + p * params.b_location + filter_index * params.b_filter];
      }
      let at = params.y_base + p * params.y_location + filter_index * params.y_filter;
      for (var i = 0u; i < IMAGES; i++) {
        if (first + i < params.batch) {
          y[at + (first + i) * params.y_sample] = activate(sum[i][l] + bias);
        }
      }
    }
  }
}
