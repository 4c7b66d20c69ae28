// dx[n, p, c] = sum of dy[n, o, c] over the windows o with winner[n, o, c] = p.
#import shared/dispatch
#import shared/window_readers

@group(0) @binding(1) var<storage, read> winner: array<u32>;    // [outer][windows][inner]
@group(0) @binding(2) var<storage, read> dy: array<f32>;        // the same
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;  // [outer][input positions][inner]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group) * THREADS + lane;
  if (i >= params.count) {
    return;
  }
  let place = place_of(i, inputs());
  let readers = readers_of(place.at);
  let mine = number_of(place.at, inputs());
  var sum = 0.0;
  for (var o0 = readers.first.x; o0 < readers.end.x; o0++) {
    for (var o1 = readers.first.y; o1 < readers.end.y; o1++) {
      let row = element_of(place.outer, vec3<u32>(o0, o1, 0u), place.inner, outputs());
      for (var o2 = readers.first.z; o2 < readers.end.z; o2++) {
        let at = row + o2 * params.inner;
        sum += select(0.0, dy[params.y_base + at], winner[at] == mine);
      }
    }
  }
  dx[params.x_base + i] = sum;
}
