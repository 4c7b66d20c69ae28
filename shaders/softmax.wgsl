// y = softmax(z) over rows, or its logarithm where LOGARITHM is 1. Each row has a workgroup.
#import shared/join_all
#import shared/workgroups

@group(0) @binding(1) var<storage, read> z: array<f32>;        // [count / row][row]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // the same

fn compute(row: u32, lane: u32) {
  let source = params.x_base + row * params.row;
  let to = params.y_base + row * params.row;
  var largest = z[source];
  for (var i = lane; i < params.row; i += THREADS) {
    largest = max(largest, z[source + i]);
  }
  largest = join_all(largest, lane, true);
  var sum = 0.0;
  for (var i = lane; i < params.row; i += THREADS) {
    sum += exp(z[source + i] - largest);
  }
  sum = join_all(sum, lane, false);
  for (var i = lane; i < params.row; i += THREADS) {
    let below = z[source + i] - largest;
    let power = exp(below);
    // In a row with +infinity the sum is NaN, but finite values still get 0.
    y[to + i] = select(select(power / sum, 0.0, power == 0.0), below - log(sum), LOGARITHM == 1u);
  }
}
