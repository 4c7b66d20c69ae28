// Weights as 16-bit floats, two to a word, widened on use.
@group(0) @binding(1) var<storage, read> w: array<u32>;  // [entries][filters], two filters or entries to a word

fn weight(at: u32) -> f32 {
  let pair = unpack2x16float(w[at / 2u]);
  return select(pair.x, pair.y, at % 2u == 1u);
}
