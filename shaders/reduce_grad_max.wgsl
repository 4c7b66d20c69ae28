// dx[o, p, c] = dy[o, c] / ties[o, c] where x[o, p, c] = y[o, c], else 0; NaN where ties is 0, because y is NaN there.
#import shared/elements

@group(0) @binding(1) var<storage, read> x: array<f32>;         // [outer][length][inner]
@group(0) @binding(2) var<storage, read> y: array<f32>;         // [outer][inner], the largest along the axis
@group(0) @binding(3) var<storage, read> ties: array<f32>;      // [outer][inner], how many are the largest
@group(0) @binding(4) var<storage, read> dy: array<f32>;        // [outer][inner]
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;  // as x

fn compute(i: u32) {
  let at = i / params.inner / params.length * params.inner + i % params.inner;
  let share = select(0.0, 1.0, x[params.x_base + i] == y[at]) / ties[at];
  dx[params.x_base + i] = share * dy[params.y_base + at];
}
