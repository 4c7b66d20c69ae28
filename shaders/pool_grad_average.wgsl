// dx[n, p, c] = sum over the windows o that contain p of dy[n, o, c] / number of positions of o.
#import shared/dispatch
#import shared/window_positions
#import shared/window_readers

@group(0) @binding(1) var<storage, read> dy: array<f32>;        // [outer][windows][inner]
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;  // [outer][input positions][inner]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group) * THREADS + lane;
  if (i >= params.count) {
    return;
  }
  let place = place_of(i, inputs());
  let readers = readers_of(place.at);
  var sum = 0.0;
  for (var o0 = readers.first.x; o0 < readers.end.x; o0++) {
    for (var o1 = readers.first.y; o1 < readers.end.y; o1++) {
      let row = element_of(place.outer, vec3<u32>(o0, o1, 0u), place.inner, outputs());
      for (var o2 = readers.first.z; o2 < readers.end.z; o2++) {
        let at = row + o2 * params.inner;
        let window = positions_of(vec3<u32>(o0, o1, o2));
        let sides = window.end - window.first;
        sum += dy[params.y_base + at] / f32(sides.x * sides.y * sides.z);
      }
    }
  }
  dx[params.x_base + i] = sum;
}
