// A step of an optimizer by the gradient of weights that loop_grad_weights computes, kept nowhere: w and STATES states follow it.
#import shared/change
#import shared/window_gradient

@group(0) @binding(1) var<storage, read> x: array<Input>;            // input samples
@group(0) @binding(2) var<storage, read> dz: array<Unit>;            // output samples
@group(0) @binding(3) var<storage, read> tables: array<u32>;         // tap tables
@group(0) @binding(4) var<storage, read> numbers: array<u32>;        // a step's
@group(0) @binding(5) var<storage, read_write> w: array<Unit>;       // [cells][window][filters]
#if STATES == 0u
#else
@group(0) @binding(6) var<storage, read_write> first: array<Unit>;   // [cells][window][filters]
#end
#if STATES == 2u
@group(0) @binding(7) var<storage, read_write> second: array<Unit>;  // [cells][window][filters]
#end

// Which rule it is stays a question: texts of their own for each would be too many.
fn rule() -> u32 {
  return params.rule;
}

fn scaled(gradient: Unit) -> Unit {
  return gradient;
}

fn store(at: u32, sum: Unit) {
  change(at, sum);
}
