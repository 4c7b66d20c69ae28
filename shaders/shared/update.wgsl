// What all optimizers do before their own rule: the gradient of penalties, clipping, weight decay.
#import shared/step
#import shared/units

// The rules, by the kernels' codes.
const MOMENTUM = 0u;
const NESTEROV = 1u;
const RMSPROP = 2u;
const RMSPROP_MOMENTUM = 3u;
const RMSPROP_CENTERED = 4u;
const RMSPROP_BOTH = 5u;
const ADAM = 6u;
const AMSGRAD = 7u;

// A weight's gradient as the rule takes it: scaled, with the gradient of its penalty, then clamped, where NaN stays
// NaN.
fn clipped(gradient: Unit, weight: Unit) -> Unit {
  // The branch is before the sum, so that no compiler fuses operations across it, whether the gradient was just summed
  // or was read.
  var penalty = Unit(0.0);
  if (params.l1 != 0.0 || params.l2 != 0.0) {
    penalty = params.l1 * sign(weight) + params.l2 * weight;
  }
  var g = scaled(gradient) + penalty;
  if (params.limit > 0.0) {
    let most = Unit(params.limit);
    g = select(select(g, -most, g < -most), most, g > most);
  }
  return g;
}

fn decayed(weight: Unit) -> Unit {
  return weight - weight * params.decay * learning_rate();
}

// params.kept * average + params.share * x.
fn averaged(before: Unit, x: Unit) -> Unit {
  return params.kept * before + params.share * x;
}
