// Probabilities clipped as Keras clips them, and targets smoothed as it smooths them.
#import shared/nan

const EPSILON = 1e-7;
const MOST = 0.99999988;  // 1 - EPSILON in 32 bits

fn clipped(p: f32) -> f32 {
  return select(clamp(p, EPSILON, MOST), p, is_nan(p));
}

// The slope of `clipped`.
fn is_within(p: f32) -> f32 {
  return select(1.0, 0.0, p < EPSILON || p > MOST);
}

fn smoothed(t: f32) -> f32 {
  return t * params.smooth_factor + params.smooth_addend;
}
