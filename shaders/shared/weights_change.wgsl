// What loop_update and loop_update_tiled declare after their operands: a step's numbers, the weights, and STATES states
// of each weight.
#import shared/change

@group(0) @binding(4) var<storage, read> numbers: array<u32>;        // a step's
@group(0) @binding(5) var<storage, read_write> w: array<Unit>;       // [cells][window][filters]
#if STATES == 0u
#else
@group(0) @binding(6) var<storage, read_write> first: array<Unit>;   // [cells][window][filters]
#end
#if STATES == 2u
@group(0) @binding(7) var<storage, read_write> second: array<Unit>;  // [cells][window][filters]
#end

// The rule is read from the uniform: a variant for each rule would be too many.
fn rule() -> u32 {
  return params.rule;
}

fn scaled(gradient: Unit) -> Unit {
  return gradient;
}
