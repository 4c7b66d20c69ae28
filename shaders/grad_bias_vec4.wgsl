// grad_bias for outputs in fours.
@group(0) @binding(1) var<storage, read> dz: array<vec4<f32>>;        // output samples
@group(0) @binding(2) var<storage, read_write> db: array<vec4<f32>>;  // [count]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group) * 64u + lane;
  if (i >= params.count) {
    return;
  }
  var value = vec4<f32>();
  var at = params.y_base / 4u + i;
  for (var n = 0u; n < params.batch; n++) {
    value += dz[at];
    at += params.y_sample / 4u;
  }
  if (params.accumulate == 1u) {
    value += db[i];
  }
  db[i] = value;
}
