// The main of update, update_1, _2 and _3: an optimizer's step of each weight by its gradient. The kernel declares
// numbers, scale, gradient, w and the states, and says how many STATES there are.
#import shared/change
#import shared/dispatch
#import shared/scale

#if STATES == 0u
#else
fn rule() -> u32 {
  return RULE;
}
#end

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group) * THREADS + lane;
  if (i >= params.count) {
    return;
  }
  let at = params.y_base + i;
  change(at, gradient[at]);
}
