// y[n, o, c] = the largest, the average or the sum of x[n, p, c] over the positions p of window o that lie within the
// input.
#import shared/elements
#import shared/units
#import shared/window_positions

@group(0) @binding(1) var<storage, read> x: array<Unit>;        // [outer][input positions][inner]
@group(0) @binding(2) var<storage, read_write> y: array<Unit>;  // [outer][windows][inner]

const LARGEST = 0u;
const AVERAGE = 1u;
// The lowest number. NaN isn't larger, so it never replaces it.
const LOWEST = -0x1.fffffep+127f;

fn compute(i: u32) {
  let place = place_of(i, outputs());
  let window = positions_of(place.at);
#if KIND == LARGEST
  var result = Unit(LOWEST);
#else
  var result = Unit(0.0);
#end
  for (var p0 = window.first.x; p0 < window.end.x; p0++) {
    for (var p1 = window.first.y; p1 < window.end.y; p1++) {
      let row = element_of(place.outer, vec3<u32>(p0, p1, 0u), place.inner, inputs());
      for (var p2 = window.first.z; p2 < window.end.z; p2++) {
        let value = x[params.x_base + row + p2 * params.inner];
#if KIND == LARGEST
        result = select(result, value, value > result);
#else
        result += value;
#end
      }
    }
  }
#if KIND == AVERAGE
  let sides = window.end - window.first;
  result /= f32(sides.x * sides.y * sides.z);
#end
  y[params.y_base + i] = result;
}
