// y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, with each row's own mean and variance. Each row has a
// workgroup.
#import shared/row_statistics
#import shared/workgroups

@group(0) @binding(1) var<storage, read> x: array<f32>;        // [count / row][row]
@group(0) @binding(2) var<storage, read> gamma: array<f32>;    // [row]; x where there is none
@group(0) @binding(3) var<storage, read> beta: array<f32>;     // [row]; x where there is none
@group(0) @binding(4) var<storage, read_write> y: array<f32>;  // as x

fn compute(row: u32, lane: u32) {
  let source = params.x_base + row * params.row;
  let to = params.y_base + row * params.row;
  let statistics = row_statistics(source, lane);
  for (var i = lane; i < params.row; i += THREADS) {
    let scale = select(1.0, gamma[i], params.use_scale == 1u);
    let shift = select(0.0, beta[i], params.use_bias == 1u);
    y[to + i] = (x[source + i] - statistics.x) * statistics.y * scale + shift;
  }
}
