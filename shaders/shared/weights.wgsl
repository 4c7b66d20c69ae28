// Weights [entries][filters], a unit at a time. 16-bit weights, two to a word, are widened when they are read.
#import shared/units
#if WEIGHT_BITS == 32u
@group(0) @binding(1) var<storage, read> w: array<Unit>;  // [entries][filters / WIDTH]

fn weight(at: u32) -> Unit {
  return w[at];
}
#else
#if WIDTH == 4u
@group(0) @binding(1) var<storage, read> w: array<vec2<u32>>;  // [entries][filters / 4]

fn weight(at: u32) -> Unit {
  let packed = w[at];
  return vec4(unpack2x16float(packed.x), unpack2x16float(packed.y));
}
#else
@group(0) @binding(1) var<storage, read> w: array<u32>;  // [entries][filters], two filters or entries to a word

fn weight(at: u32) -> Unit {
  let pair = unpack2x16float(w[at / 2u]);
  return select(pair.x, pair.y, at % 2u == 1u);
}
#end
#end
