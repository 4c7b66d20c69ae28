// dx[n, p, c] = sum of dy[n, o, c] over the windows o with winner[n, o, c] = p.
#import shared/pool_gradient

@group(0) @binding(1) var<storage, read> winner: array<u32>;    // [outer][windows][inner]
@group(0) @binding(2) var<storage, read> dy: array<f32>;        // the same
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;  // [outer][input positions][inner]

fn own_of(i: u32, position: vec3<u32>) -> u32 {
  return number_of(position, inputs());
}

fn given(window: vec3<u32>, at: u32, own: u32) -> f32 {
  return select(0.0, dy[params.y_base + at], winner[at] == own);
}
