// w[cell, y, x, column] = w[cell, s, s, column], where s is the source of all taps as far from the middle as (y, x). A
// thread has a column, one channel and filter, and goes through the rings from the outer one inwards. A ring's source
// lies in it or further in, so it is read before it is written. Only the middle's source lies further out; it is read
// first of all.
#import shared/elements

@group(0) @binding(1) var<storage, read_write> w: array<f32>;  // [cells][size][size][columns]

// As in ops::Radial; params.taps_0 is the size of a window.
fn distance_of(index: u32) -> u32 {
  let half = params.taps_0 / 2u;
  return select(half - index - (params.taps_0 + 1u) % 2u, index - half, index >= half);
}

fn source_of(distance: u32) -> u32 {
  let half = params.taps_0 / 2u;
  return select(half + distance - params.taps_0 % 2u, half - 1u, distance == 0u);
}

fn compute(i: u32) {
  let size = params.taps_0;
  let first = i / params.columns * size * size * params.columns + i % params.columns;
  let middle = w[first + source_of(0u) * (size + 1u) * params.columns];
  for (var ring = distance_of(0u) + 1u; ring > 0u; ring--) {
    let distance = ring - 1u;
    let value = select(w[first + source_of(distance) * (size + 1u) * params.columns], middle, distance == 0u);
    for (var y = 0u; y < size; y++) {
      for (var x = 0u; x < size; x++) {
        if (max(distance_of(y), distance_of(x)) == distance) {
          w[first + (y * size + x) * params.columns] = value;
        }
      }
    }
  }
}
