// db[p, f] = sum over n of dz[n, p, f]. A bias per location lies as an output sample does, so each thread sums one
// element of the samples. PARTS threads of a workgroup share the samples and add their sums in a fixed order.
#import shared/accumulate with results = db, Stored = Unit
#import shared/join
#import shared/units
#import shared/workgroups

@group(0) @binding(1) var<storage, read> dz: array<Unit>;        // output samples
@group(0) @binding(2) var<storage, read_write> db: array<Unit>;  // [count]

alias Value = Unit;
const AT_ONCE = 1u;
const LANES = THREADS / PARTS;
// Samples that a thread loads before it adds the first.
const AHEAD = min(PARTS, 4u);

fn compute(index: u32, lane: u32) {
  let i = index * LANES + lane % LANES;
  let part = lane / LANES;
  let first = params.y_base / WIDTH + min(i, params.count - 1u);
  var sum = Unit(0.0);
  for (var n = part; n < params.batch; n += AHEAD * PARTS) {
    var some: array<Unit, AHEAD>;
    #unroll for (var r = 0u; r < AHEAD; r++) {
      let sample = n + r * PARTS;
      let value = dz[first + min(sample, params.batch - 1u) * (params.y_sample / WIDTH)];
      some[r] = select(Unit(0.0), value, sample < params.batch);
    }
    #unroll for (var r = 0u; r < AHEAD; r++) {
      sum += some[r];
    }
  }
  var values = Values(sum);
  join(&values, lane, PARTS, LANES, false);
  sum = values[0];
  if (part == 0u && i < params.count) {
    accumulate(i, sum);
  }
}
