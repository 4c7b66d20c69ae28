// y = 0.
#import shared/dispatch

@group(0) @binding(1) var<storage, read_write> y: array<f32>;  // [count]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group) * THREADS + lane;
  if (i < params.count) {
    y[params.y_base + i] = 0.0;
  }
}
