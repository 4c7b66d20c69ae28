// Derivatives of activation.wgsl, from the output y where it determines them, else from the value z before it.
#import shared/activation

fn derivative_from_output(y: f32) -> f32 {
  switch (activation_code()) {
    case RELU: { return select(0.0, 1.0, y > 0.0); }
    case ELU: { return select(y + params.activation_a, 1.0, y > 0.0); }
    case SELU: { return select(y + SELU_SCALE * SELU_ALPHA, SELU_SCALE, y > 0.0); }
    case SOFTPLUS: { return -expm1(-y); }
    case SOFTSIGN: { let r = 1.0 - abs(y); return r * r; }
    case TANH: { return 1.0 - y * y; }
    case SIGMOID: { return y * (1.0 - y); }
    case EXPONENTIAL: { return y; }
    default: { return 1.0; }
  }
}

fn derivative_from_pre_activation(z: f32) -> f32 {
  switch (activation_code()) {
    case RELU: {
      if (z >= params.activation_b) { return 0.0; }
      return select(params.activation_a, 1.0, z > params.activation_c);
    }
    case ELU: { return select(params.activation_a * exp(min(z, 0.0)), 1.0, z > 0.0); }
    case HARD_SIGMOID: {
      let r = 0.2 * z + 0.5;
      return select(0.0, 0.2, r >= 0.0 && r <= 1.0);
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
