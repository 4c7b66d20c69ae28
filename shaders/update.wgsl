// A step of an optimizer without states.
#import shared/change
#import shared/dispatch
#import shared/scale

@group(0) @binding(1) var<storage, read> numbers: array<u32>;       // a step's
@group(0) @binding(2) var<storage, read> scale: array<f32>;         // [1]; anything without use_scale
@group(0) @binding(3) var<storage, read> gradient: array<Unit>;     // [count]
@group(0) @binding(4) var<storage, read_write> w: array<Unit>;      // [count]

const STATES = 0u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group) * THREADS + lane;
  if (i >= params.count) {
    return;
  }
  let at = params.y_base + i;
  change(at, gradient[at]);
}
