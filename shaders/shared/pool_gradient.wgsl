// dx[n, p, c] = sum over the windows o that contain p of what they give to it. The kernel declares dx, and says what it
// knows of a position (`own_of`) and what a window then gives to it (`given`).
#import shared/elements
#import shared/window_readers

fn compute(i: u32) {
  let place = place_of(i, inputs());
  let readers = readers_of(place.at);
  let own = own_of(i, place.at);
  var sum = 0.0;
  for (var o0 = readers.first.x; o0 < readers.end.x; o0++) {
    for (var o1 = readers.first.y; o1 < readers.end.y; o1++) {
      let row = element_of(place.outer, vec3<u32>(o0, o1, 0u), place.inner, outputs());
      for (var o2 = readers.first.z; o2 < readers.end.z; o2++) {
        sum += given(vec3<u32>(o0, o1, o2), row + o2 * params.inner, own);
      }
    }
  }
  dx[params.x_base + i] = sum;
}
