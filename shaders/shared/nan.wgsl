// Asked by its bits: compilers may assume that no number is NaN, and fold comparisons.
fn is_nan(z: f32) -> bool {
  return (bitcast<u32>(z) & 0x7fffffffu) > 0x7f800000u;
}
