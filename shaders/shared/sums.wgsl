// y[o] = sum of the terms of element o / divisor. PARTS threads of a workgroup share the terms and add their sums in a
// fixed order. Terms have axes of their own, along which they follow o's first term. The kernel says what all terms of
// an element share (`of_result`) and what a term is (`term`).
#import shared/accumulate with results = y, Stored = f32
#import shared/axes
#import shared/join
#import shared/workgroups

alias Value = f32;
const AT_ONCE = 1u;
const LANES = THREADS / PARTS;

fn compute(index: u32, lane: u32) {
  let o = index * LANES + lane % LANES;
  let part = lane / LANES;
  let result = min(o, params.count - 1u);
  let whole = place(result, params.elements, params.size_1, params.size_2, params.size_3);
  let first = params.x_base + at(whole, params.a_sample, params.a_0, params.a_1, params.a_2, params.a_3);
  let own = of_result(result);
  var sum = 0.0;
  for (var t = part; t < params.terms; t += PARTS) {
    let along = place(params.first_term + t, params.term_elements, params.term_1, params.term_2, params.term_3);
    sum += term(x[first + at(along, params.b_sample, params.b_0, params.b_1, params.b_2, params.b_3)], own);
  }
  var values = Values(sum);
  join(&values, lane, PARTS, LANES, false);
  if (part == 0u && o < params.count) {
    accumulate(params.y_base + o, values[0] / params.divisor);
  }
}
