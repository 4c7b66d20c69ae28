// Where the taps of a location's window read, as shares of an offset within an input sample, NO_TAP outside the input.
// The kernel declares `tables`.

// The share of the two outer axes: tap t of location p.
fn outer_offset(p: u32, t: u32) -> u32 {
  let i0 = tables[params.forward_0 + p / (params.output_1 * params.output_2) * params.kernel_0
    + t / (params.kernel_1 * params.kernel_2)];
  let i1 = tables[params.forward_1 + p / params.output_2 % params.output_1 * params.kernel_1
    + t / params.kernel_2 % params.kernel_1];
  return select(i0 + i1, NO_TAP, i0 == NO_TAP || i1 == NO_TAP);
}

// Where the share of the inner axis is in `tables`: tap t of location p; those of taps of the same row follow.
fn inner_tap(p: u32, t: u32) -> u32 {
  return params.forward_2 + p % params.output_2 * params.kernel_2 + t % params.kernel_2;
}

// All of it, in channel 0.
fn window_offset(p: u32, t: u32) -> u32 {
  let outer = outer_offset(p, t);
  let inner = tables[inner_tap(p, t)];
  return select(outer + inner, NO_TAP, outer == NO_TAP || inner == NO_TAP);
}
