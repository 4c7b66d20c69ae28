// y = kept * y + share * x; a copy of x where kept is 0.
#import shared/elements
#import shared/units

@group(0) @binding(1) var<storage, read> x: array<Unit>;        // [count]
@group(0) @binding(2) var<storage, read_write> y: array<Unit>;  // [count]

fn compute(i: u32) {
  let at = params.y_base + i;
  var value = params.share * x[at];
  if (params.kept != 0.0) {
    value += params.kept * y[at];
  }
  y[at] = value;
}
