// y = softmax(z) over rows, or its logarithm where LOGARITHM is 1; a workgroup a row, in place.
@group(0) @binding(1) var<storage, read_write> y: array<f32>;  // [count / row][row], z on entry

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = workgroup_index(group);
  if (row >= params.workgroups) {
    return;
  }
  let base = params.y_base + row * params.row;
  var largest = y[base];
  for (var i = lane; i < params.row; i += 64u) {
    largest = max(largest, y[base + i]);
  }
  partial[lane] = largest;
  for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) {
      partial[lane] = max(partial[lane], partial[lane + half]);
    }
  }
  workgroupBarrier();
  largest = partial[0];
  workgroupBarrier();
  var sum = 0.0;
  for (var i = lane; i < params.row; i += 64u) {
    sum += exp(y[base + i] - largest);
  }
  partial[lane] = sum;
  for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) {
      partial[lane] += partial[lane + half];
    }
  }
  workgroupBarrier();
  sum = partial[0];
  for (var i = lane; i < params.row; i += 64u) {
    let z = y[base + i] - largest;
    y[base + i] = select(exp(z) / sum, z - log(sum), LOGARITHM == 1u);
  }
}
