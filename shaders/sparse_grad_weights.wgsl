// dw[e, f] = sum over n of x[n, input of e] * dz[n, row of e, f]; 0 for entries without an input. A thread computes
// FILTERS filters of one entry.
#import shared/accumulate with results = dw, Stored = f32
#import shared/cell
#import shared/dispatch
#import shared/sparse_index

@group(0) @binding(1) var<storage, read> x: array<f32>;         // input samples
@group(0) @binding(2) var<storage, read> dz: array<f32>;        // output samples
@group(0) @binding(3) var<storage, read> index: array<u32>;     // sparse index
@group(0) @binding(4) var<storage, read_write> dw: array<f32>;  // [entries][filters]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let lanes = (params.filters + FILTERS - 1u) / FILTERS;
  let thread = workgroup_index(group) * THREADS + lane;
  if (thread >= params.entries * lanes) {
    return;
  }
  let f = thread % lanes;
  let local = thread / lanes;
  let e = params.first_entry + local;
  let input = input_of_entry(e);
  let row = row_of_entry(e);
  var from_z: array<u32, FILTERS>;
  var sum: array<f32, FILTERS>;
  #unroll for (var j = 0u; j < FILTERS; j++) {
    from_z[j] = params.y_base + output_of(cell_at(row), min(f + j * lanes, params.filters - 1u));
    sum[j] = 0.0;
  }
  if (input != NO_TAP) {
    for (var n = 0u; n < params.batch; n++) {
      let value = x[params.x_base + n * params.x_sample + input];
      var output: array<f32, FILTERS>;
      #unroll for (var j = 0u; j < FILTERS; j++) {
        output[j] = dz[from_z[j] + n * params.y_sample];
      }
      #unroll for (var j = 0u; j < FILTERS; j++) {
        sum[j] += value * output[j];
      }
    }
  }
  #unroll for (var j = 0u; j < FILTERS; j++) {
    if (f + j * lanes < params.filters) {
      let at = local * params.filters + f + j * lanes;
      accumulate(at, sum[j]);
    }
  }
}
