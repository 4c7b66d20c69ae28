// What gradients are multiplied by: one number of a buffer, where there is one.
fn scaled(gradient: Unit) -> Unit {
  if (params.use_scale == 1u) {
    return gradient * scale[0];
  }
  return gradient;
}
