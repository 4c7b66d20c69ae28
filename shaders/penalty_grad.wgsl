// g = l1 * sign(x) + l2 * x, where l2 is twice Keras's; with use_step, for an activity's penalty, times the step's
// per_sample.
#import shared/accumulate with results = g, Stored = Unit
#import shared/elements
#import shared/step
#import shared/units

@group(0) @binding(1) var<storage, read> x: array<Unit>;        // [count]
@group(0) @binding(2) var<storage, read> numbers: array<u32>;   // a step's; anything without use_step
@group(0) @binding(3) var<storage, read_write> g: array<Unit>;  // [count]

fn compute(i: u32) {
  let at = params.y_base + i;
  var value = params.l1 * sign(x[at]) + params.l2 * x[at];
  if (params.use_step == 1u) {
    value *= per_sample();
  }
  accumulate(at, value);
}
