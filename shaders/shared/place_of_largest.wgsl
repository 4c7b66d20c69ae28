// The first place of the largest value in a row that a workgroup shares; NaN counts as smaller than all else.
#import shared/order

fn place_of_largest_in_values(source: u32, lane: u32) -> u32 {
  var largest = 0u;
  for (var i = lane; i < params.row; i += THREADS) {
    largest = max(largest, order_of(values[source + i]));
  }
  largest = join_all(largest, lane, true);
  // The first of several has most elements behind it.
  var behind = 0u;
  for (var i = lane; i < params.row; i += THREADS) {
    behind = max(behind, select(0u, params.row - i, order_of(values[source + i]) == largest));
  }
  return params.row - join_all(behind, lane, true);
}
