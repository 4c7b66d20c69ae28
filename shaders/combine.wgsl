// y = (a HOW b) / divisor, element by element; an operand of one element along an axis is repeated along it.
#import shared/elements
#import shared/operands

@group(0) @binding(1) var<storage, read> a: array<f32>;        // [batch][sizes, or 1], or without a batch
@group(0) @binding(2) var<storage, read> b: array<f32>;        // as a
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [batch][sizes]

fn combined(a: f32, b: f32) -> f32 {
  switch (HOW) {
    case ADD: { return a + b; }
    case SUBTRACT: { return a - b; }
    case MULTIPLY: { return a * b; }
    case MAXIMUM: { return select(select(b, a, a >= b), a + b, is_nan(a) || is_nan(b)); }
    case MINIMUM: { return select(select(b, a, a <= b), a + b, is_nan(a) || is_nan(b)); }
    default: { return select(a * b, a, a > 0.0 || is_nan(a)); }
  }
}

fn compute(i: u32) {
  let from_here = operands_at(i);
  y[params.y_base + i] = combined(a[from_here.x], b[from_here.y]) / params.divisor;
}
