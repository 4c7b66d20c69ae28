// y[o] = weight * sum of a piece's losses / divisor, for losses that are means over elements, and for binary accuracy.
// Each piece has a workgroup. A sample has `parts` pieces, of which the last may be shorter.
#import shared/element_loss
#import shared/join_all
#import shared/workgroups

@group(0) @binding(1) var<storage, read> p: array<f32>;        // [count / parts][elements]
@group(0) @binding(2) var<storage, read> t: array<f32>;        // as p
@group(0) @binding(3) var<storage, read> weight: array<f32>;   // [count / parts]; p where there are no weights
@group(0) @binding(4) var<storage, read_write> y: array<f32>;  // [count]

fn compute(o: u32, lane: u32) {
  let sample = o / params.parts;
  let begin = o % params.parts * params.row;
  let terms = min(params.row, params.elements - begin);
  let first = sample * params.elements + begin;
  var sum = 0.0;
  for (var i = lane; i < terms; i += THREADS) {
    sum += element_loss(p[params.x_base + first + i], smoothed(t[params.w_base + first + i]));
  }
  sum = join_all(sum, lane, false);
  if (lane == 0u) {
    let factor = select(1.0, weight[params.b_base + sample], params.use_scale == 1u);
    y[params.y_base + o] = factor * (sum / params.divisor);
  }
}
