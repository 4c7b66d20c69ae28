// An optimizer's step with STATES states of each weight: updates w[at] and its states by a gradient. The kernel
// declares `numbers`, `w` and the states (`first`, `second` and `third`); it says which `rule` it has and how gradients
// are `scaled`.
#import shared/update

#if STATES == 0u
// w -= w * decay * rate; w -= rate * g.
fn change(at: u32, gradient: Unit) {
  w[at] = decayed(w[at]) - learning_rate() * clipped(gradient, w[at]);
}
#end
#if STATES == 1u
// Momentum: m = momentum * m - rate * g; w += m, or with Nesterov's momentum w += momentum * m - rate * g.
// RMSprop: v = kept * v + share * g * g; w -= rate * g / sqrt(v + epsilon).
fn change(at: u32, gradient: Unit) {
  let before = first[at];
  let weight = decayed(w[at]);
  let g = clipped(gradient, w[at]);
  if (rule() == RMSPROP) {
    let v = averaged(before, g * g);
    w[at] = weight - learning_rate() * g / sqrt(v + params.epsilon);
    first[at] = v;
    return;
  }
  let m = params.momentum * before - learning_rate() * g;
  if (rule() == NESTEROV) {
    w[at] = weight + (params.momentum * m - learning_rate() * g);
  } else {
    w[at] = weight + m;
  }
  first[at] = m;
}
#end
#if STATES == 2u
// Adam: m += (g - m) * mean_share; v += (g * g - v) * share; w -= m * rate * correction / (sqrt(v) + epsilon).
// RMSprop with a momentum: v = kept * v + share * g * g; q = momentum * q + rate * g / sqrt(v + epsilon); w -= q.
// Centered RMSprop: v = kept * v + share * g * g; a = kept * a + share * g; w -= rate * g / sqrt(v - a * a + epsilon).
fn change(at: u32, gradient: Unit) {
  let a = first[at];
  let b = second[at];
  let weight = decayed(w[at]);
  let g = clipped(gradient, w[at]);
  if (rule() == ADAM) {
    let m = a + (g - a) * params.mean_share;
    let v = b + (g * g - b) * params.share;
    w[at] = weight - m * (learning_rate() * correction()) / (sqrt(v) + params.epsilon);
    first[at] = m;
    second[at] = v;
    return;
  }
  let v = averaged(a, g * g);
  first[at] = v;
  if (rule() == RMSPROP_MOMENTUM) {
    let q = params.momentum * b + learning_rate() * g / sqrt(v + params.epsilon);
    w[at] = weight - q;
    second[at] = q;
    return;
  }
  let mean = averaged(b, g);
  w[at] = weight - learning_rate() * g / sqrt(v - mean * mean + params.epsilon);
  second[at] = mean;
}
#end
#if STATES == 3u
// AMSGrad: m += (g - m) * mean_share; v += (g * g - v) * share; u = max(u, v);
// w -= m * rate * correction / (sqrt(u) + epsilon).
// Centered RMSprop with a momentum: v = kept * v + share * g * g; a = kept * a + share * g;
// q = momentum * q + rate * g / sqrt(v - a * a + epsilon); w -= q.
fn change(at: u32, gradient: Unit) {
  let a = first[at];
  let b = second[at];
  let c = third[at];
  let weight = decayed(w[at]);
  let g = clipped(gradient, w[at]);
  if (rule() == AMSGRAD) {
    let m = a + (g - a) * params.mean_share;
    let v = b + (g * g - b) * params.share;
    let largest = max(c, v);
    w[at] = weight - m * (learning_rate() * correction()) / (sqrt(largest) + params.epsilon);
    first[at] = m;
    second[at] = v;
    third[at] = largest;
    return;
  }
  let v = averaged(a, g * g);
  let mean = averaged(c, g);
  let q = params.momentum * b + learning_rate() * g / sqrt(v - mean * mean + params.epsilon);
  w[at] = weight - q;
  first[at] = v;
  second[at] = q;
  third[at] = mean;
}
#end
