// sums[i] = sum over the parts of parts[part, i], in their order.
#import shared/dispatch
#import shared/units

@group(0) @binding(1) var<storage, read> parts: array<Unit>;       // [parts][count]
@group(0) @binding(2) var<storage, read_write> sums: array<Unit>;  // [count]

// Parts that a thread loads before it adds the first.
const AHEAD = 4u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group) * THREADS + lane;
  if (i >= params.count) {
    return;
  }
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
  if (params.accumulate == 1u) {
    sum += sums[i];
  }
  sums[i] = sum;
}
