// sums[i] = sum over the parts of parts[part, i], in their order.
#import shared/accumulate with results = sums, Stored = Unit
#import shared/elements
#import shared/units

@group(0) @binding(1) var<storage, read> parts: array<Unit>;       // [parts][count]
@group(0) @binding(2) var<storage, read_write> sums: array<Unit>;  // [count]

// Parts that a thread loads before it adds the first.
const AHEAD = 4u;

fn compute(i: u32) {
  var sum = Unit(0.0);
  for (var part = 0u; part < params.parts; part += AHEAD) {
    var some: array<Unit, AHEAD>;
    #unroll for (var r = 0u; r < AHEAD; r++) {
      let value = parts[min(part + r, params.parts - 1u) * params.count + i];
      some[r] = select(Unit(0.0), value, part + r < params.parts);
    }
    #unroll for (var r = 0u; r < AHEAD; r++) {
      sum += some[r];
    }
  }
  accumulate(i, sum);
}
