// Weights as 32-bit floats, four filters at a time.
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;  // [entries][filters / 4]

fn weight(at: u32) -> vec4<f32> {
  return w[at];
}
