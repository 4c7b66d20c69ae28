// db[f] = sum over p of sums[p, f], for a bias that all locations share; a workgroup a filter. params.row is the number
// of locations; grad_bias has summed the samples.
@group(0) @binding(1) var<storage, read> sums: array<f32>;      // as an output sample
@group(0) @binding(2) var<storage, read_write> db: array<f32>;  // [filters]

// Locations that a thread loads before it adds the first.
const AHEAD = 4u;

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let f = workgroup_index(group);
  if (f >= params.workgroups) {
    return;
  }
  var sum = 0.0;
  for (var p = lane; p < params.row; p += AHEAD * 64u) {
    var some: array<f32, AHEAD>;
    for (var r = 0u; r < AHEAD; r++) {
      let location = p + r * 64u;
      let value = sums[min(location, params.row - 1u) * params.y_location + f * params.y_filter];
      some[r] = select(0.0, value, location < params.row);
    }
    for (var r = 0u; r < AHEAD; r++) {
      sum += some[r];
    }
  }
  partial[lane] = sum;
  for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) {
      partial[lane] += partial[lane + half];
    }
  }
  workgroupBarrier();
  if (lane == 0u) {
    db[f] = partial[0];
  }
}
