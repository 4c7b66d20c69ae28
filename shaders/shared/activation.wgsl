// Activations of single elements: codes as in config::codes, arguments in params.activation_a, _b, _c.
const LINEAR = 0u;
const RELU = 1u;
const ELU = 2u;
const SELU = 3u;
const SOFTPLUS = 4u;
const SOFTSIGN = 5u;
const TANH = 6u;
const SIGMOID = 7u;
const HARD_SIGMOID = 8u;
const EXPONENTIAL = 9u;
const SWISH = 10u;
const GELU = 11u;
const GELU_TANH = 12u;
const MISH = 13u;
// ACTIVATION is one of the codes, or ANY where params.activation says which. Drivers that run all branches of a switch
// (lavapipe) would otherwise pay for every activation at every element.
const ANY = 255u;

fn activation_code() -> u32 {
  if (ACTIVATION == ANY) {
    return params.activation;
  }
  return ACTIVATION;
}

const SELU_SCALE = 1.05070098;
const SELU_ALPHA = 1.67326324;
// Above this output of selu e^z is 1 in 32 bits, in which Keras computes e^z - 1: -SCALE * ALPHA / 2^25.
const SELU_ZERO = -5.2394489e-8;

// Asked by its bits: compilers may assume that no number is NaN, and fold comparisons.
fn is_nan(z: f32) -> bool {
  return (bitcast<u32>(z) & 0x7fffffffu) > 0x7f800000u;
}

// A value that isn't negative, with the sign of another number. sign() would make 0 of -0.
fn with_sign(value: f32, signed: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(value) | (bitcast<u32>(signed) & 0x80000000u));
}

// exp(z) - 1 without cancellation near 0.
fn expm1(z: f32) -> f32 {
  if (abs(z) < 0.25) {
    return z * (1.0 + z * (0.5 + z * (0.16666667 + z * (0.041666668 + z * (0.008333334 + z * 0.0013888889)))));
  }
  return exp(z) - 1.0;
}

// ln(1 + t) for 0 <= t <= 1 without cancellation near 0: 2 atanh(t / (2 + t)).
fn log1p_unit(t: f32) -> f32 {
  let r = t / (2.0 + t);
  let s = r * r;
  return 2.0 * r * (1.0 + s * (0.33333334 + s * (0.2 + s * (0.14285715 + s * (0.11111111 + s * (0.09090909 + s * (0.07692308 + s * 0.06666667)))))));
}

fn sigmoid(z: f32) -> f32 {
  // exp of a number that isn't positive never overflows.
  let e = exp(-abs(z));
  return select(e, 1.0, z >= 0.0) / (1.0 + e);
}

fn softplus(z: f32) -> f32 {
  return max(z, 0.0) + log1p_unit(exp(-abs(z)));
}

// Drivers' tanh overflows for large arguments, this one doesn't.
fn tanh_stable(z: f32) -> f32 {
  let e = expm1(-2.0 * abs(z));
  return with_sign(-e / (2.0 + e), z);
}

// erf by its Maclaurin series below 2, and above it by the continued fraction of erfc.
fn erf(z: f32) -> f32 {
  let a = abs(z);
  let s = a * a;
  if (a < 2.0) {
    var term = a;
    var sum = a;
    for (var i = 1u; i < 24u; i++) {
      term *= -s / f32(i);
      sum += term / f32(2u * i + 1u);
    }
    return with_sign(1.1283792 * sum, z);
  }
  var fraction = a;
  for (var i = 16u; i > 0u; i--) {
    fraction = a + 0.5 * f32(i) / fraction;
  }
  return with_sign(1.0 - 0.5641896 * exp(-s) / fraction, z);
}

// Keras's relu: the lesser of z and b where z > c, else a * (z - c). Where a is 0, values below c become 0. Under a
// threshold they become z * 0 instead: a zero with the sign of z, and NaN for -infinity. There is a threshold where the
// bits of c aren't those of 0; -0 is one.
fn relu_four(z: vec4<f32>) -> vec4<f32> {
  let c = params.activation_c;
  let bits = bitcast<vec4<u32>>(z);
  let under_threshold = bitcast<u32>(c) != 0u;
  let zero = bitcast<vec4<f32>>(bits & vec4(select(0u, 0x80000000u, under_threshold)));
  let low = select(params.activation_a * (z - c), zero, vec4(params.activation_a == 0.0));
  let y = select(min(z, vec4(params.activation_b)), low, z <= vec4(c));
  // The bits of -infinity are 0xff800000; larger ones are NaN.
  let least_nan = select(0xff800001u, 0xff800000u, under_threshold);
  let nan = (bits >= vec4(least_nan)) | ((bits & vec4(0x7fffffffu)) > vec4(0x7f800000u));
  return select(y, bitcast<vec4<f32>>(bits | vec4(0x00400000u)), nan);
}

// Whether the activation is one of the two that most layers have. Where ACTIVATION is ANY, a kernel with many results
// in registers stores them by activate_cheap and then, if this doesn't hold, activates what it stored, in an ordinary
// loop. Loops over registers are unrolled, and with all activations in them compilers would take minutes.
fn is_cheap() -> bool {
  return activation_code() == LINEAR || activation_code() == RELU;
}

// Relu, or the value itself.
fn activate_cheap_four(z: vec4<f32>) -> vec4<f32> {
  return select(z, relu_four(z), activation_code() == RELU);
}

fn activate_cheap(z: f32) -> f32 {
  return activate_cheap_four(vec4(z)).x;
}

fn activate(z: f32) -> f32 {
  return select(activate_number(z), z, is_nan(z));
}

fn activate_number(z: f32) -> f32 {
  switch (activation_code()) {
    case RELU: { return relu_four(vec4(z)).x; }
    case ELU: { return select(params.activation_a * expm1(z), z, z > 0.0); }
    case SELU: { return SELU_SCALE * select(SELU_ALPHA * expm1(z), z, z > 0.0); }
    case SOFTPLUS: { return softplus(z); }
    case SOFTSIGN: { return z / (abs(z) + 1.0); }
    case TANH: { return tanh_stable(z); }
    case SIGMOID: { return sigmoid(z); }
    case HARD_SIGMOID: { return clamp(0.2 * z + 0.5, 0.0, 1.0); }
    case EXPONENTIAL: { return exp(z); }
    case SWISH: { return z * sigmoid(z); }
    case GELU: { return 0.5 * z * (1.0 + erf(z * 0.70710678)); }
    case GELU_TANH: { return 0.5 * z * (1.0 + tanh_stable(0.7978846 * (z + 0.044715 * z * z * z))); }
    case MISH: { return z * tanh_stable(softplus(z)); }
    default: { return z; }
  }
}
