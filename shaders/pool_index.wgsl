// winner[n, o, c] = the first position p of window o with the largest x[n, p, c], as the position's number in the
// sample.
#import shared/elements
#import shared/window_positions

@group(0) @binding(1) var<storage, read> x: array<f32>;              // [outer][input positions][inner]
@group(0) @binding(2) var<storage, read_write> winner: array<u32>;  // [outer][windows][inner]

fn compute(i: u32) {
  let place = place_of(i, outputs());
  let window = positions_of(place.at);
  var best = number_of(window.first, inputs());
  var largest = x[params.x_base + element_of(place.outer, window.first, place.inner, inputs())];
  for (var p0 = window.first.x; p0 < window.end.x; p0++) {
    for (var p1 = window.first.y; p1 < window.end.y; p1++) {
      let row = element_of(place.outer, vec3<u32>(p0, p1, 0u), place.inner, inputs());
      let number = number_of(vec3<u32>(p0, p1, 0u), inputs());
      for (var p2 = window.first.z; p2 < window.end.z; p2++) {
        let value = x[params.x_base + row + p2 * params.inner];
        let is_larger = largest < value;
        best = select(best, number + p2, is_larger);
        largest = select(largest, value, is_larger);
      }
    }
  }
  winner[i] = best;
}
