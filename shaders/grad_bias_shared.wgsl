// db[f] = sum over n and p of dz[n, p, f], for a bias that all locations share; a workgroup a filter. params.row is the
// number of locations.
@group(0) @binding(1) var<storage, read> dz: array<f32>;        // output samples
@group(0) @binding(2) var<storage, read_write> db: array<f32>;  // [filters]

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let f = workgroup_index(group);
  if (f >= params.workgroups) {
    return;
  }
  var sum = 0.0;
  for (var i = lane; i < params.batch * params.row; i += 64u) {
    let at = params.y_base + i / params.row * params.y_sample + i % params.row * params.y_location;
    sum += dz[at + f * params.y_filter];
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
    var value = partial[0];
    if (params.accumulate == 1u) {
      value += db[f];
    }
    db[f] = value;
  }
}
