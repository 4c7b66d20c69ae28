// What a thread loads at once: a Unit, which is WIDTH neighbouring elements. WIDTH is 4 where they lie in aligned
// fours, else 1.
#import shared/four
#if WIDTH == 4u
alias Unit = vec4<f32>;

// Element `at` of a unit.
fn of_unit(unit: Unit, at: u32) -> f32 {
  return unit[at];
}

// The unit that begins at element `at` of four elements.
fn unit_of(four: vec4<f32>, at: u32) -> Unit {
  return four;
}

// Four elements, with those from `at` on replaced by a unit.
fn with_unit(four: vec4<f32>, at: u32, unit: Unit) -> vec4<f32> {
  return unit;
}

// The sum of the products of two units' elements.
fn unit_dot(a: Unit, b: Unit) -> f32 {
  return dot(a, b);
}
#else
alias Unit = f32;

fn of_unit(unit: Unit, at: u32) -> f32 {
  return unit;
}

fn unit_of(four: vec4<f32>, at: u32) -> Unit {
  return four[at];
}

fn with_unit(four: vec4<f32>, at: u32, unit: Unit) -> vec4<f32> {
  return with_element(four, at, unit);
}

fn unit_dot(a: Unit, b: Unit) -> f32 {
  return a * b;
}
#end
