// Where the elements of a and b lie that give element i of the result. An operand's stride is 0 along axes where it is
// repeated.
#import shared/axes
#import shared/nan

fn operands_at(i: u32) -> vec2<u32> {
  let where_i = place(i, params.elements, params.size_1, params.size_2, params.size_3);
  let a = at(where_i, params.a_sample, params.a_0, params.a_1, params.a_2, params.a_3);
  let b = at(where_i, params.b_sample, params.b_0, params.b_1, params.b_2, params.b_3);
  return vec2(params.x_base + a, params.w_base + b);
}

// How two values are combined, by the codes of ops::How.
const ADD = 0u;
const SUBTRACT = 1u;
const MULTIPLY = 2u;
const MAXIMUM = 3u;
const MINIMUM = 4u;
const PRELU = 5u;
