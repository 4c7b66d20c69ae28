// Derivatives of activation.wgsl: from the output y where that is enough, else from the value z before the activation.
#import shared/activation

fn derivative_from_output(y: f32) -> f32 {
  switch (activation_code()) {
    case RELU: { return select(0.0, 1.0, y > 0.0 && !is_nan(y)); }
    case ELU: { return select(select(y + params.activation_a, 1.0, y > 0.0), params.activation_a, is_nan(y)); }
    case SELU: { return select(SELU_SCALE, y + SELU_SCALE * SELU_ALPHA, y <= SELU_ZERO && !is_nan(y)); }
    case SOFTPLUS: { return -expm1(-y); }
    case TANH: { return 1.0 - y * y; }
    case SIGMOID: { return y * (1.0 - y); }
    case EXPONENTIAL: { return y; }
    default: { return 1.0; }
  }
}

// Above the threshold 1, above the bound 0, below the threshold the slope. At the threshold itself it is the slope for
// a leaky relu without bound and threshold, else 0. At the bound itself it is 1, except for TensorFlow's relu6.
fn relu_slope(z: f32) -> f32 {
  let b = params.activation_b;
  let c = params.activation_c;
  let bounded = bitcast<u32>(b) != 0x7f800000u;
  let leaky = !bounded && bitcast<u32>(c) == 0u;
  let six = b == 6.0 && c == 0.0;
  let clipped = bounded && (z > b || (six && z == b));
  let below = select(0.0, params.activation_a, leaky || (z < c && !is_nan(z)));
  return select(below, select(1.0, 0.0, clipped), z > c && !is_nan(z));
}

fn derivative_from_pre_activation(z: f32) -> f32 {
  switch (activation_code()) {
    case RELU: {
      return relu_slope(z);
    }
    case ELU: {
      let below = select(params.activation_a * exp(min(z, 0.0)), params.activation_a, is_nan(z));
      return select(below, 1.0, z > 0.0 && !is_nan(z));
    }
    case SOFTSIGN: { let r = 1.0 + abs(z); return 1.0 / (r * r); }
    case HARD_SIGMOID: {
      let r = 0.2 * z + 0.5;
      return select(0.0, 0.2, r >= 0.0 && r <= 1.0 && !is_nan(z));
    }
    case SWISH: { let s = sigmoid(z); return s * (1.0 + z * (1.0 - s)); }
    case GELU: { return 0.5 * (1.0 + erf(z * 0.70710678)) + z * 0.39894228 * exp(-0.5 * z * z); }
    case GELU_TANH: {
      let t = tanh_stable(0.7978846 * (z + 0.044715 * z * z * z));
      return 0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * 0.7978846 * (1.0 + 0.134145 * z * z);
    }
    case MISH: {
      let t = tanh_stable(softplus(z));
      return t + z * (1.0 - t * t) * sigmoid(z);
    }
    default: { return 1.0; }
  }
}
