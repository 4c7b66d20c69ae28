// db[p, f] = sum over n of dz[n, p, f]: a bias per location lies as the output does, so element i sums elements i.
@group(0) @binding(1) var<storage, read> dz: array<f32>;        // output samples
@group(0) @binding(2) var<storage, read_write> db: array<f32>;  // [count]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group) * 64u + lane;
  if (i >= params.count) {
    return;
  }
  var value = 0.0;
  for (var n = 0u; n < params.batch; n++) {
    value += dz[params.y_base + n * params.y_sample + i];
  }
  if (params.accumulate == 1u) {
    value += db[i];
  }
  db[i] = value;
}
