// A number that is larger where x is: 0 of NaN, and the same of both zeroes.
#import shared/nan

fn order_of(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let order = select(bits | 0x80000000u, ~bits, bits > 0x80000000u);
  return select(order, 0u, is_nan(x));
}
