// Where the taps of a location's window read, as shares of an offset within an input sample; NO_TAP outside the input.
// The kernel declares `tables`.

// The rows of the tap tables for location p, by axis.
fn tap_rows(p: u32) -> vec3<u32> {
  return vec3(params.forward_0 + p / (params.output_1 * params.output_2) * params.taps_0,
    params.forward_1 + p / params.output_2 % params.output_1 * params.taps_1,
    params.forward_2 + p % params.output_2 * params.taps_2);
}

// The share of the two outer axes of tap t, for a location with these rows.
fn outer_offset(rows: vec3<u32>, t: u32) -> u32 {
  let line = t / params.taps_2;
  let i0 = tables[rows.x + line / params.taps_1];
  let i1 = tables[rows.y + line % params.taps_1];
  return select(i0 + i1, NO_TAP, i0 == NO_TAP || i1 == NO_TAP);
}

// Where in `tables` the share of the inner axis is. Those of the next taps of the same line follow it.
fn inner_tap(rows: vec3<u32>, t: u32) -> u32 {
  return rows.z + t % params.taps_2;
}

// The whole offset of tap t, in channel 0.
fn window_offset(rows: vec3<u32>, t: u32) -> u32 {
  let outer = outer_offset(rows, t);
  let inner = tables[inner_tap(rows, t)];
  return select(outer + inner, NO_TAP, outer == NO_TAP || inner == NO_TAP);
}
