// w = 0 where w < 0.
#import shared/elements
#import shared/units

@group(0) @binding(1) var<storage, read_write> w: array<Unit>;  // [count]

fn compute(i: u32) {
  let weight = w[params.y_base + i];
  w[params.y_base + i] = weight * select(Unit(0.0), Unit(1.0), weight >= Unit(0.0));
}
