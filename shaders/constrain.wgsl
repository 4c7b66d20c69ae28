// w[row, f] *= wanted / (norm + epsilon), where the norm is that of the row's group and, with BY_FILTER, of the filter
// in it.
#import shared/elements

@group(0) @binding(1) var<storage, read> groups: array<u32>;   // [entries]
@group(0) @binding(2) var<storage, read> squares: array<f32>;  // [groups][group_filters]
@group(0) @binding(3) var<storage, read_write> w: array<f32>;  // [entries][filters]

const AT_MOST = 0u;
const UNIT = 1u;
const NONE = 0xffffffffu;

fn compute(i: u32) {
  let own = groups[i / params.filters];
  if (own == NONE) {
    return;
  }
  var place = own;
#if BY_FILTER == 1u
  place = own * params.group_filters + params.first_filter + i % params.filters;
#end
  let norm = sqrt(squares[place]);
#if LIMIT == UNIT
  let wanted = 1.0;
#else
#if LIMIT == AT_MOST
  let wanted = min(norm, params.most);
#else
  let wanted = params.rate * max(min(norm, params.most), params.least) + (1.0 - params.rate) * norm;
#end
#end
  w[i] *= wanted / (params.epsilon + norm);
}
