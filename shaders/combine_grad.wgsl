// g = dy * d(a HOW b)/da, or by b where OF_SECOND is 1, element by element of the result; an operand of one element
// along an axis is repeated along it.
#import shared/elements
#import shared/operands

@group(0) @binding(1) var<storage, read> a: array<f32>;        // [batch][sizes, or 1], or without a batch
@group(0) @binding(2) var<storage, read> b: array<f32>;        // as a
@group(0) @binding(3) var<storage, read> dy: array<f32>;       // [batch][sizes]
@group(0) @binding(4) var<storage, read_write> g: array<f32>;  // [batch][sizes]

// Whether the result is the first operand: yes where both are equal, no where the other is NaN.
fn takes_first(a: f32, b: f32) -> bool {
  return select(a <= b, a >= b, HOW == MAXIMUM) && !is_nan(a) && !is_nan(b);
}

fn gradient(a: f32, b: f32, dy: f32) -> f32 {
  if (HOW == PRELU) {
    let number = !is_nan(a);
    if (OF_SECOND == 1u) {
      return select(0.0, a, a < 0.0 || !number) * dy;
    }
    return select(select(0.0, b, a < 0.0 && number), 1.0, a > 0.0 && number) * dy;
  }
  return select(0.0, dy, takes_first(a, b) != (OF_SECOND == 1u));
}

fn compute(i: u32) {
  let from_here = operands_at(i);
  g[params.y_base + i] = gradient(a[from_here.x], b[from_here.y], dy[params.y_base + i]);
}
