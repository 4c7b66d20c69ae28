// y = kept * y + share * x; a copy of x where kept is 0.
#import shared/dispatch
#import shared/units

@group(0) @binding(1) var<storage, read> x: array<Unit>;        // [count]
@group(0) @binding(2) var<storage, read_write> y: array<Unit>;  // [count]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group) * THREADS + lane;
  if (i >= params.count) {
    return;
  }
  let at = params.y_base + i;
  var value = params.share * x[at];
  if (params.kept != 0.0) {
    value += params.kept * y[at];
  }
  y[at] = value;
}
