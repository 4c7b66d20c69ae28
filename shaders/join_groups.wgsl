// squares[groups[j], f] += sum over the parts of j of sums[part, f], in their order.
#import shared/dispatch

@group(0) @binding(1) var<storage, read> groups: array<u32>;         // [groups here]
@group(0) @binding(2) var<storage, read> parts: array<u32>;          // [groups here + 1]
@group(0) @binding(3) var<storage, read> sums: array<f32>;           // [parts][filters]
@group(0) @binding(4) var<storage, read_write> squares: array<f32>;  // [groups][group_filters]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group) * THREADS + lane;
  if (i >= params.count) {
    return;
  }
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
