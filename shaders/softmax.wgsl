// y = softmax(z) over rows, or its logarithm where LOGARITHM is 1; a workgroup a row, in place.
#import shared/dispatch
#import shared/join_all

@group(0) @binding(1) var<storage, read_write> y: array<f32>;  // [count / row][row], z on entry

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = workgroup_index(group);
  if (row >= params.workgroups) {
    return;
  }
  let base = params.y_base + row * params.row;
  var largest = y[base];
  for (var i = lane; i < params.row; i += THREADS) {
    largest = max(largest, y[base + i]);
  }
  largest = join_all(largest, lane, true);
  var sum = 0.0;
  for (var i = lane; i < params.row; i += THREADS) {
    sum += exp(y[base + i] - largest);
  }
  sum = join_all(sum, lane, false);
  for (var i = lane; i < params.row; i += THREADS) {
    let z = y[base + i] - largest;
    y[base + i] = select(exp(z) / sum, z - log(sum), LOGARITHM == 1u);
  }
}
