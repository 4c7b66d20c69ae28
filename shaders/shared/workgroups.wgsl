// The main of kernels whose workgroups each have a result, or a piece of one. The kernel says what a thread does for it (`compute`).
#import shared/dispatch

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = workgroup_index(group);
  if (index < params.workgroups) {
    compute(index, lane);
  }
}
