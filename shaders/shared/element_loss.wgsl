// Losses that are means over elements, by FORM. The epsilon that Keras adds to probabilities is read from the uniform:
// a compiler that knew it would turn 1 - p + epsilon into (1 + epsilon) - p.
#import shared/probabilities

const SQUARED = 0u;
const ABSOLUTE = 1u;
const HUBER = 2u;
const BINARY = 3u;
const BINARY_LOGITS = 4u;
const BINARY_HITS = 5u;

fn element_loss(p: f32, t: f32) -> f32 {
  let off = p - t;
  switch (FORM) {
    case SQUARED: { return off * off; }
    case ABSOLUTE: { return abs(off); }
    case HUBER: {
      let delta = params.delta;
      return select(delta * abs(off) - 0.5 * delta * delta, 0.5 * off * off, abs(off) <= delta);
    }
    case BINARY_LOGITS: { return select(p, 0.0, p <= 0.0) - p * t + log(1.0 + exp(-abs(p))); }
    case BINARY_HITS: { return select(0.0, 1.0, select(0.0, 1.0, p > params.delta) == t); }
    default: {
      let q = clipped(p);
      return -(t * log(q + params.epsilon) + (1.0 - t) * log(1.0 - q + params.epsilon));
    }
  }
}

fn element_slope(p: f32, t: f32) -> f32 {
  let off = p - t;
  switch (FORM) {
    case SQUARED: { return 2.0 * off; }
    case ABSOLUTE: { return select(sign(off), off, is_nan(off)); }
    case HUBER: { return select(clamp(off, -params.delta, params.delta), off, is_nan(off)); }
    case BINARY_LOGITS: { return 1.0 / (1.0 + exp(-p)) - t; }
    default: {
      let q = clipped(p);
      return is_within(p) * ((1.0 - t) / (1.0 - q + params.epsilon) - t / (q + params.epsilon));
    }
  }
}
