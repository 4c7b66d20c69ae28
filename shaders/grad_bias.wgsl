// db[p, f] = sum over n of dz[n, p, f]: a bias per location lies as the output does, so element i sums elements i. PARTS
// threads of a workgroup divide the samples among them and add their sums in a fixed order.
@group(0) @binding(1) var<storage, read> dz: array<Unit>;        // output samples
@group(0) @binding(2) var<storage, read_write> db: array<Unit>;  // [count]

const LANES = 64u / PARTS;
// Samples that a thread loads before it adds the first.
const AHEAD = min(PARTS, 4u);

var<workgroup> partial: array<Unit, 32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = workgroup_index(group);
  if (index >= params.workgroups) {
    return;
  }
  let i = index * LANES + lane % LANES;
  let part = lane / LANES;
  let first = params.y_base / WIDTH + min(i, params.count - 1u);
  var sum = Unit();
  for (var n = part; n < params.batch; n += AHEAD * PARTS) {
    var some: array<Unit, AHEAD>;
    for (var r = 0u; r < AHEAD; r++) {
      let sample = n + r * PARTS;
      let value = dz[first + min(sample, params.batch - 1u) * (params.y_sample / WIDTH)];
      some[r] = select(Unit(), value, sample < params.batch);
    }
    for (var r = 0u; r < AHEAD; r++) {
      sum += some[r];
    }
  }
  for (var half = PARTS / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (part >= half && part < 2u * half) {
      partial[lane - half * LANES] = sum;
    }
    workgroupBarrier();
    if (part < half) {
      sum += partial[lane];
    }
  }
  if (part == 0u && i < params.count) {
    if (params.accumulate == 1u) {
      sum += db[i];
    }
    db[i] = sum;
  }
}
