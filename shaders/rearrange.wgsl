// y[o] = x[i], where i_a = floor((o_a - before_a) / repeat_a) along each axis a; 0 where no such i exists. Element i of
// a sample of x has the number sum over a of i_a * distance_a.
#import shared/elements
#import shared/units

@group(0) @binding(1) var<storage, read> x: array<Unit>;        // [batch][x_sample]
@group(0) @binding(2) var<storage, read_write> y: array<Unit>;  // [batch][written_0][written_1]...[written_4]

// What is found so far of the place of an element of y in x, and what is left to divide.
struct Walk {
  rest: u32,
  source: u32,
  is_there: bool,
}

// Goes on to the next axis outwards.
fn further(walk: Walk, written: u32, before: u32, repeat: u32, size: u32, distance: u32) -> Walk {
  let at = i32(walk.rest % written) - bitcast<i32>(before);
  let position = u32(max(at, 0)) / repeat;
  return Walk(walk.rest / written, walk.source + position * distance, walk.is_there && at >= 0 && position < size);
}

fn compute(i: u32) {
  var walk = Walk(i, params.x_base, true);
  walk = further(walk, params.written_4, params.before_4, params.repeat_4, params.read_4, params.distance_4);
  walk = further(walk, params.written_3, params.before_3, params.repeat_3, params.read_3, params.distance_3);
#if MANY == 1u
  walk = further(walk, params.written_2, params.before_2, params.repeat_2, params.read_2, params.distance_2);
  walk = further(walk, params.written_1, params.before_1, params.repeat_1, params.read_1, params.distance_1);
  walk = further(walk, params.written_0, params.before_0, params.repeat_0, params.read_0, params.distance_0);
#end
  var value = Unit(0.0);
  if (walk.is_there) {
    value = x[walk.source + walk.rest * params.x_sample];
  }
  y[params.y_base + i] = value;
}
