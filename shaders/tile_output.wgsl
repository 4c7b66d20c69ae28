// The ends of tiled forward products: bias and activation. The kernel declares `y`.

// Chosen by the uniform: little beside the sums.
const ACTIVATION = ANY;

fn has_addend() -> bool {
  return params.use_bias == 1u;
}

fn has_finish() -> bool {
  return activation_code() == RELU;
}

fn finish(value: vec4<f32>) -> vec4<f32> {
  return relu_four(value);
}

fn store(at: u32, four: vec4<f32>, from_column: u32) {
  y[at] = unit_of(four, from_column);
}

fn is_finished() -> bool {
  return is_cheap();
}
