// Joins one value of each thread of a workgroup; all threads get the result.
#import shared/join
alias Value = f32;
const AT_ONCE = 1u;

fn join_all(value: f32, lane: u32, largest: bool) -> f32 {
  var values = Values(value);
  join(&values, lane, THREADS, 1u, largest);
  if (lane == 0u) {
    partial[0] = values[0];
  }
  workgroupBarrier();
  return partial[0];
}
