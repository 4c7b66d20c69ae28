// What a thread loads at once where WIDTH is 1: neighbours don't lie in aligned fours.
alias Unit = f32;

// Element `at` of a unit.
fn of_unit(unit: Unit, at: u32) -> f32 {
  return unit;
}

// The unit of four elements that begins with number `at`.
fn unit_of(four: vec4<f32>, at: u32) -> Unit {
  return four[at];
}

// Four elements with a unit of them, from `at` on, replaced.
fn with_unit(four: vec4<f32>, at: u32, unit: Unit) -> vec4<f32> {
  var all = four;
  all[at] = unit;
  return all;
}

// The sum of the products of two units' elements.
fn product_sum(a: Unit, b: Unit) -> f32 {
  return a * b;
}
