// w = 0 where w < 0.
#import shared/dispatch
#import shared/units

@group(0) @binding(1) var<storage, read_write> w: array<Unit>;  // [count]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group) * THREADS + lane;
  if (i < params.count) {
    let weight = w[params.y_base + i];
    w[params.y_base + i] = weight * select(Unit(0.0), Unit(1.0), weight >= Unit(0.0));
  }
}
