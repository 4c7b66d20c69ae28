// Mean and 1 / sqrt(variance + epsilon) of a row of x that a workgroup shares. The variance is the mean of (x -
// mean)^2.
#import shared/join_all

fn row_statistics(source: u32, lane: u32) -> vec2<f32> {
  let row = f32(params.row);
  var sum = 0.0;
  for (var i = lane; i < params.row; i += THREADS) {
    sum += x[source + i];
  }
  let mean = join_all(sum, lane, false) / row;
  var squares = 0.0;
  for (var i = lane; i < params.row; i += THREADS) {
    let off = x[source + i] - mean;
    squares += off * off;
  }
  let variance = join_all(squares, lane, false) / row;
  return vec2(mean, 1.0 / sqrt(variance + params.epsilon));
}
