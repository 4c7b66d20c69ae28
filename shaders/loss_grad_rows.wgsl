// dp = weight * per_sample / divisor * gradient of the crossentropy of a row. Each row has a workgroup, each sample
// `parts` rows.
#import shared/join_all
#import shared/classes
#import shared/step
#import shared/workgroups

@group(0) @binding(1) var<storage, read> p: array<f32>;         // [workgroups][row]
@group(0) @binding(2) var<storage, read> t: array<f32>;         // as p, or [workgroups] with SPARSE
@group(0) @binding(3) var<storage, read> weight: array<f32>;    // [workgroups / parts]; p where there are no weights
@group(0) @binding(4) var<storage, read> numbers: array<u32>;   // [4], a step's
@group(0) @binding(5) var<storage, read_write> dp: array<f32>;  // as p

#if SPARSE == 0u
fn target_of(o: u32, i: u32) -> f32 {
  return smoothed(t[params.w_base + o * params.row + i]);
}

// The slope of -t * log(q) by q.
fn share_slope(o: u32, i: u32, q: f32) -> f32 {
  return -is_within(q) * target_of(o, i) / clipped(q);
}
#end

fn compute(o: u32, lane: u32) {
  let source = params.x_base + o * params.row;
  let to = params.y_base + o * params.row;
  let own_weight = select(1.0, weight[params.b_base + o / params.parts], params.use_scale == 1u);
  let factor = own_weight * per_sample() / params.divisor;
  let all = largest_and_sum(source, lane);
#if SPARSE == 1u
  let place = class_of(t[params.w_base + o]);
  for (var i = lane; i < params.row; i += THREADS) {
    let own = p[source + i];
    let one = select(0.0, 1.0, i == place);
    let slope = select(is_within(own) * (1.0 / all.y - one / clipped(own)), exp(own - all.x) / all.y - one, LOGITS == 1u);
    dp[to + i] = of_class(factor * slope, place);
  }
#else
#if LOGITS == 1u
  for (var i = lane; i < params.row; i += THREADS) {
    dp[to + i] = factor * (exp(p[source + i] - all.x) / all.y - target_of(o, i));
  }
#else
  var along = 0.0;
  for (var i = lane; i < params.row; i += THREADS) {
    let share = p[source + i] / all.y;
    along += share_slope(o, i, share) * share;
  }
  along = join_all(along, lane, false);
  for (var i = lane; i < params.row; i += THREADS) {
    dp[to + i] = factor * ((share_slope(o, i, p[source + i] / all.y) - along) / all.y);
  }
#end
#end
}
