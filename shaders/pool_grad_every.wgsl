// dx[n, p, c] = sum of dy[n, o, c] over the windows o that contain p and have y[n, o, c] = x[n, p, c].
#import shared/pool_gradient

@group(0) @binding(1) var<storage, read> x: array<f32>;         // [outer][input positions][inner]
@group(0) @binding(2) var<storage, read> y: array<f32>;         // [outer][windows][inner], the largest of each
@group(0) @binding(3) var<storage, read> dy: array<f32>;        // the same
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;  // as x

fn own_of(i: u32, position: vec3<u32>) -> f32 {
  return x[params.x_base + i];
}

fn given(window: vec3<u32>, at: u32, own: f32) -> f32 {
  return select(0.0, dy[params.y_base + at], y[at] == own);
}
