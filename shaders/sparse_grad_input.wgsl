// dx[n, i] = sum over the entries e that read input i, and over f, of w[e, f] * dz[n, row of e, f]
// A thread computes IMAGES samples of one input element, through the inverse index: nothing is added atomically.
#import shared/accumulate with results = dx, Stored = f32
#import shared/cell
#import shared/dispatch
#import shared/sparse_index
#import shared/weights
const WIDTH = 1u;

// Binding 1, w: shared/weights, [entries][filters]
@group(0) @binding(2) var<storage, read> dz: array<f32>;        // output samples
@group(0) @binding(3) var<storage, read> index: array<u32>;     // sparse index
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;  // input samples

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let tiles = (params.batch + IMAGES - 1u) / IMAGES;
  let workgroup = workgroup_index(group);
  let input = workgroup / tiles * THREADS + lane;
  let first = workgroup % tiles * IMAGES;
  if (workgroup >= params.workgroups || input >= params.x_sample) {
    return;
  }
  var sample: array<u32, IMAGES>;
  var sum: array<f32, IMAGES>;
  #unroll for (var i = 0u; i < IMAGES; i++) {
    sample[i] = params.y_base + min(first + i, params.batch - 1u) * params.y_sample;
    sum[i] = 0.0;
  }
  let end = first_reader(input + 1u);
  for (var reader = first_reader(input); reader < end; reader++) {
    let e = entry_of_reader(reader);
    // The number of an entry of another chunk wraps around to a large one.
    let local = e - params.first_entry;
    if (local < params.entries) {
      let row = row_of_entry(e);
      for (var f = 0u; f < params.filters; f++) {
        let value = weight(local * params.filters + f);
        let at = output_of(cell_at(row), f);
        var output: array<f32, IMAGES>;
        #unroll for (var i = 0u; i < IMAGES; i++) {
          output[i] = dz[sample[i] + at];
        }
        #unroll for (var i = 0u; i < IMAGES; i++) {
          sum[i] += value * output[i];
        }
      }
    }
  }
  #unroll for (var i = 0u; i < IMAGES; i++) {
    if (first + i < params.batch) {
      let at = params.x_base + (first + i) * params.x_sample + input;
      accumulate(at, sum[i]);
    }
  }
}
