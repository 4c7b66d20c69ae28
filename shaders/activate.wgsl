// y = activation(z), element by element.
#import shared/activation
#import shared/dispatch

@group(0) @binding(1) var<storage, read> z: array<f32>;        // [count]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [count]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group) * THREADS + lane;
  if (i < params.count) {
    y[params.y_base + i] = activate(z[params.x_base + i]);
  }
}
