// Weights as 32-bit floats.
@group(0) @binding(1) var<storage, read> w: array<f32>;  // [entries][filters]

fn weight(at: u32) -> f32 {
  return w[at];
}
