// An integer that is larger where x is larger. It is 0 for NaN, and the same for both zeroes.
#import shared/nan

fn order_of(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let order = select(bits | 0x80000000u, ~bits, bits > 0x80000000u);
  return select(order, 0u, is_nan(x));
}
