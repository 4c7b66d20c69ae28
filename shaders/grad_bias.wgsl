// db[p, f] = sum over n of dz[n, p, f]; where locations share the bias, also over them (params.row is their number).
@group(0) @binding(1) var<storage, read> dz: array<f32>;        // output samples
@group(0) @binding(2) var<storage, read_write> db: array<f32>;  // [count]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group) * 64u + lane;
  if (i >= params.count) {
    return;
  }
  // A bias per location lies as the output does, so element i sums elements i; a shared one sums filter i.
  let stride = select(1u, params.y_filter, params.row > 1u);
  var sum = 0.0;
  for (var n = 0u; n < params.batch; n++) {
    let sample = params.y_base + n * params.y_sample + i * stride;
    var at = 0.0;
    for (var p = 0u; p < params.row; p++) {
      at += dz[sample + p * params.y_location];
    }
    sum += at;
  }
  var value = sum;
  if (params.accumulate == 1u) {
    value += db[i];
  }
  db[i] = value;
}
