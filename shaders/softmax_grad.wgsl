// dz = y * (dy - sum(y * dy)) over rows, or dy - exp(y) * sum(dy) where LOGARITHM is 1 and y is the logarithm of
// softmax. Each row has a workgroup.
#import shared/join_all
#import shared/workgroups

@group(0) @binding(1) var<storage, read> y: array<f32>;         // [count / row][row]
@group(0) @binding(2) var<storage, read> dy: array<f32>;        // the same
@group(0) @binding(3) var<storage, read_write> dz: array<f32>;  // the same

fn compute(row: u32, lane: u32) {
  let source = params.x_base + row * params.row;
  let to = params.y_base + row * params.row;
  var sum = 0.0;
  for (var i = lane; i < params.row; i += THREADS) {
    sum += select(y[source + i], 1.0, LOGARITHM == 1u) * dy[source + i];
  }
  sum = join_all(sum, lane, false);
  for (var i = lane; i < params.row; i += THREADS) {
    let i_y = y[source + i];
    let i_dy = dy[source + i];
    dz[to + i] = select(i_y * (i_dy - sum), i_dy - exp(i_y) * sum, LOGARITHM == 1u);
  }
}
