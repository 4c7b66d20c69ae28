// The main of kernels that have a thread for each of `count` elements. The kernel says what it does for element i (`compute`).
#import shared/dispatch

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group) * THREADS + lane;
  if (i < params.count) {
    compute(i);
  }
}
