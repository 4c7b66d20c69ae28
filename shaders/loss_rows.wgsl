// y[o] = weight * crossentropy of row o / divisor. Each row has a workgroup, each sample `parts` rows.
#import shared/join_all
#import shared/classes
#import shared/workgroups

@group(0) @binding(1) var<storage, read> p: array<f32>;        // [count][row]
@group(0) @binding(2) var<storage, read> t: array<f32>;        // as p, or [count] with SPARSE
@group(0) @binding(3) var<storage, read> weight: array<f32>;   // [count / parts]; p where there are no weights
@group(0) @binding(4) var<storage, read_write> y: array<f32>;  // [count]

fn compute(o: u32, lane: u32) {
  let source = params.x_base + o * params.row;
  let all = largest_and_sum(source, lane);
#if SPARSE == 1u
  let place = class_of(t[params.w_base + o]);
  let own = p[source + select(place, 0u, place == NO_CLASS)];
  let loss = of_class(log(all.y) - select(log(clipped(own)), own - all.x, LOGITS == 1u), place);
#else
  let logarithm = log(all.y);
  var loss = 0.0;
  for (var i = lane; i < params.row; i += THREADS) {
    let own = p[source + i];
    let target_share = smoothed(t[params.w_base + o * params.row + i]);
    loss -= target_share * select(log(clipped(own / all.y)), own - all.x - logarithm, LOGITS == 1u);
  }
  loss = join_all(loss, lane, false);
#end
  if (lane == 0u) {
    let factor = select(1.0, weight[params.b_base + o / params.parts], params.use_scale == 1u);
    y[params.y_base + o] = factor * (loss / params.divisor);
  }
}
