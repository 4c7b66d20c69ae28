// Weights as 16-bit floats, four filters at a time, widened on use.
@group(0) @binding(1) var<storage, read> w: array<vec2<u32>>;  // [entries][filters / 4]

fn weight(at: u32) -> vec4<f32> {
  let packed = w[at];
  return vec4(unpack2x16float(packed.x), unpack2x16float(packed.y));
}
