// Offset within an input sample of what tap t of the window of location p reads in channel 0, or
// NO_TAP. The kernel declares `tables`.
fn window_offset(p: u32, t: u32) -> u32 {
  let i0 = tables[params.forward_0 + p / (params.output_1 * params.output_2) * params.kernel_0
    + t / (params.kernel_1 * params.kernel_2)];
  let i1 = tables[params.forward_1 + p / params.output_2 % params.output_1 * params.kernel_1
    + t / params.kernel_2 % params.kernel_1];
  let i2 = tables[params.forward_2 + p % params.output_2 * params.kernel_2 + t % params.kernel_2];
  if (i0 == NO_TAP || i1 == NO_TAP || i2 == NO_TAP) {
    return NO_TAP;
  }
  return i0 + i1 + i2;
}
