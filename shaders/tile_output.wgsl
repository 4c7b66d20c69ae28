// The ends of tiled forward products: activations. The kernel declares `y`.

// Chosen by the uniform: little beside the sums.
const ACTIVATION = ANY;

fn finish(value: vec4<f32>) -> vec4<f32> {
  return vec4(activate_cheap(value.x), activate_cheap(value.y), activate_cheap(value.z), activate_cheap(value.w));
}

fn store(at: u32, value: f32) {
  y[at] = value;
}

fn is_finished() -> bool {
  return is_cheap();
}

fn finish_stored(at: u32) {
  y[at] = activate(y[at]);
}
