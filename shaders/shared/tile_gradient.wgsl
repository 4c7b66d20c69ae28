// What tile.wgsl asks of all gradients: their sums are the results.

fn has_addend() -> bool {
  return false;
}

fn addend(product: Product, column: u32) -> f32 {
  return 0.0;
}

fn has_finish() -> bool {
  return false;
}

fn finish(value: vec4<f32>) -> vec4<f32> {
  return value;
}

fn is_finished() -> bool {
  return true;
}

fn finish_stored(at: u32) {
}
