// dx = (g - mean(g) - n * mean(g * n)) / sqrt(variance + epsilon), where n = (x - mean) / sqrt(variance + epsilon), g =
// dy * gamma, and means are those of a row. Each row has a workgroup.
#import shared/row_statistics
#import shared/workgroups

@group(0) @binding(1) var<storage, read> x: array<f32>;         // [count / row][row]
@group(0) @binding(2) var<storage, read> gamma: array<f32>;     // [row]; x where there is none
@group(0) @binding(3) var<storage, read> dy: array<f32>;        // as x
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;  // as x

fn gradient(source: u32, i: u32) -> f32 {
  return dy[source + i] * select(1.0, gamma[i], params.use_scale == 1u);
}

fn compute(row: u32, lane: u32) {
  let source = params.x_base + row * params.row;
  let to = params.y_base + row * params.row;
  let statistics = row_statistics(source, lane);
  var sum = 0.0;
  var along = 0.0;
  for (var i = lane; i < params.row; i += THREADS) {
    let g = gradient(source, i);
    sum += g;
    along += g * ((x[source + i] - statistics.x) * statistics.y);
  }
  let mean = join_all(sum, lane, false) / f32(params.row);
  let slope = join_all(along, lane, false) / f32(params.row);
  for (var i = lane; i < params.row; i += THREADS) {
    let normalised = (x[source + i] - statistics.x) * statistics.y;
    dx[to + i] = (gradient(source, i) - mean - normalised * slope) * statistics.y;
  }
}
