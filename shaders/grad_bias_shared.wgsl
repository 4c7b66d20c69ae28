// db[f] = sum over p of sums[p, f], for a bias that all locations share. Each filter has a workgroup. params.row is the
// number of locations; grad_bias has summed over the samples.
#import shared/accumulate with results = db, Stored = f32
#import shared/join_all
#import shared/workgroups

@group(0) @binding(1) var<storage, read> sums: array<f32>;      // as an output sample
@group(0) @binding(2) var<storage, read_write> db: array<f32>;  // [filters]

// Locations that a thread loads before it adds the first.
const AHEAD = 4u;

fn compute(f: u32, lane: u32) {
  var sum = 0.0;
  for (var p = lane; p < params.row; p += AHEAD * THREADS) {
    var some: array<f32, AHEAD>;
    #unroll for (var r = 0u; r < AHEAD; r++) {
      let location = p + r * THREADS;
      let value = sums[min(location, params.row - 1u) * params.y_location + f * params.y_filter];
      some[r] = select(0.0, value, location < params.row);
    }
    #unroll for (var r = 0u; r < AHEAD; r++) {
      sum += some[r];
    }
  }
  sum = join_all(sum, lane, false);
  if (lane == 0u) {
    accumulate(f, sum);
  }
}
