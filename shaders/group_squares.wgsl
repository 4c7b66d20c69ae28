// sums[part, f] = sum over the rows of a part of w[row, f] ^ 2, or over all filters where they have one norm together.
#import shared/elements

@group(0) @binding(1) var<storage, read> starts: array<u32>;      // [parts + 1], into rows
@group(0) @binding(2) var<storage, read> rows: array<u32>;        // rows of the weights, part after part
@group(0) @binding(3) var<storage, read> w: array<f32>;           // [entries][filters]
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;  // [parts][filters, or 1]

fn compute(i: u32) {
  var sum = 0.0;
#if BY_FILTER == 1u
  let part = i / params.filters;
  let end = starts[part + 1u];
  for (var at = starts[part]; at < end; at++) {
    let weight = w[rows[at] * params.filters + i % params.filters];
    sum += weight * weight;
  }
#else
  let end = starts[i + 1u];
  for (var at = starts[i]; at < end; at++) {
    let first = rows[at] * params.filters;
    for (var f = 0u; f < params.filters; f++) {
      sum += w[first + f] * w[first + f];
    }
  }
#end
  sums[params.y_base + i] = sum;
}
