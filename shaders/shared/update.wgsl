// What all optimizers do with a gradient and a weight before their own rule.
#import shared/step
#import shared/units

// Rules, by the kernels' codes.
const MOMENTUM = 0u;
const NESTEROV = 1u;
const RMSPROP = 2u;
const RMSPROP_MOMENTUM = 3u;
const RMSPROP_CENTERED = 4u;
const RMSPROP_BOTH = 5u;
const ADAM = 6u;
const AMSGRAD = 7u;

// A weight's gradient as the rule takes it: with that of its penalty, scaled, or clamped, where NaN stays.
fn clipped(gradient: Unit, weight: Unit) -> Unit {
  // A branch before the sum: nothing that compilers make one operation of reaches over it, whether the gradient was just summed or read.
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
