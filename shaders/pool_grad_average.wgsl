// dx[n, p, c] = sum over the windows o that contain p of dy[n, o, c] / number of positions of o.
#import shared/pool_gradient
#import shared/window_positions

@group(0) @binding(1) var<storage, read> dy: array<f32>;        // [outer][windows][inner]
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;  // [outer][input positions][inner]

fn own_of(i: u32, position: vec3<u32>) -> u32 {
  return 0u;
}

fn given(window: vec3<u32>, at: u32, own: u32) -> f32 {
  let positions = positions_of(window);
  let sides = positions.end - positions.first;
  return dy[params.y_base + at] / f32(sides.x * sides.y * sides.z);
}
