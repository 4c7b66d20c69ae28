// The numbers of a training step (ops::StepNumbers), which the kernel declares as `numbers`.
fn learning_rate() -> f32 {
  return bitcast<f32>(numbers[0]);
}

fn correction() -> f32 {
  return bitcast<f32>(numbers[1]);
}

fn per_sample() -> f32 {
  return bitcast<f32>(numbers[2]);
}

fn draw() -> u32 {
  return numbers[3];
}
