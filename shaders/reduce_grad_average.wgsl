// dx[o, p, c] = dy[o, c] / length.
#import shared/elements

@group(0) @binding(1) var<storage, read> dy: array<f32>;        // [outer][inner]
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;  // [outer][length][inner]

fn compute(i: u32) {
  let at = i / params.inner / params.length * params.inner + i % params.inner;
  dx[params.x_base + i] = dy[params.y_base + at] / f32(params.length);
}
