// dx[o, p, c] = dy[o, c] / length.
#import shared/dispatch

@group(0) @binding(1) var<storage, read> dy: array<f32>;        // [outer][inner]
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;  // [outer][length][inner]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group) * THREADS + lane;
  if (i >= params.count) {
    return;
  }
  let at = i / params.inner / params.length * params.inner + i % params.inner;
  dx[params.x_base + i] = dy[params.y_base + at] / f32(params.length);
}
