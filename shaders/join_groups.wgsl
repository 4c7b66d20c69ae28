// squares[groups[j], f] += sum over the parts of j of sums[part, f], in their order.
#import shared/elements

@group(0) @binding(1) var<storage, read> groups: array<u32>;         // [groups here]
@group(0) @binding(2) var<storage, read> parts: array<u32>;          // [groups here + 1]
@group(0) @binding(3) var<storage, read> sums: array<f32>;           // [parts][filters]
@group(0) @binding(4) var<storage, read_write> squares: array<f32>;  // [groups][group_filters]

fn compute(i: u32) {
  let j = i / params.filters;
  let f = i % params.filters;
  let end = parts[j + 1u];
  let to = groups[j] * params.group_filters + params.first_filter + f;
  var sum = squares[to];
  for (var part = parts[j]; part < end; part++) {
    sum += sums[params.x_base + part * params.filters + f];
  }
  squares[to] = sum;
}
