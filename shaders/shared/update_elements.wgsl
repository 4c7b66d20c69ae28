// The main of update, update_1, _2 and _3: an optimizer's step of each weight by its gradient. The kernel declares
// numbers, scale, gradient, w and the states, and says how many STATES there are.
#import shared/change
#import shared/elements
#import shared/scale

#if STATES == 0u
#else
fn rule() -> u32 {
  return RULE;
}
#end

fn compute(i: u32) {
  let at = params.y_base + i;
  change(at, gradient[at]);
}
