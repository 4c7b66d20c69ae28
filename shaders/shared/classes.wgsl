// Rows of classes. The kernel declares p. With SPARSE a row's target is one class number, rounded towards 0.
#import shared/probabilities

const NO_CLASS = 0xffffffffu;

fn class_of(t: f32) -> u32 {
  let whole = trunc(t);
  return select(NO_CLASS, u32(max(whole, 0.0)), !is_nan(t) && whole >= 0.0 && whole < f32(params.row));
}

// The value, or NaN where the target is no class.
fn of_class(value: f32, place: u32) -> f32 {
  return bitcast<f32>(select(bitcast<u32>(value), 0x7fc00000u, place == NO_CLASS));
}

// The largest logit of a row, and the divisor that makes shares of its elements: for logits the sum of e^(x - largest),
// else the sum of the probabilities. Where targets are sparse, probabilities are clipped first.
fn largest_and_sum(source: u32, lane: u32) -> vec2<f32> {
  var largest = 0.0;
#if LOGITS == 1u
  largest = p[source];
  for (var i = lane; i < params.row; i += THREADS) {
    largest = max(largest, p[source + i]);
  }
  largest = join_all(largest, lane, true);
#end
  var sum = 0.0;
  for (var i = lane; i < params.row; i += THREADS) {
    let own = p[source + i];
    sum += select(select(own, clipped(own), SPARSE == 1u), exp(own - largest), LOGITS == 1u);
  }
  return vec2(largest, join_all(sum, lane, false));
}
