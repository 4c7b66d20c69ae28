// The gradient, multiplied by the number in `scale` if there is one.
fn scaled(gradient: Unit) -> Unit {
  if (params.use_scale == 1u) {
    return gradient * scale[0];
  }
  return gradient;
}
