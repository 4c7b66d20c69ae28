// A step of an optimizer that keeps STATES states of each weight: w[at] and they follow a gradient. The kernel declares `numbers`, `w` and the
// states, `first`, `second` and `third`, and says which `rule` it is and how gradients are `scaled`.
#import shared/update

#if STATES == 0u
// w = w - w * decay * rate - rate * g.
fn change(at: u32, gradient: Unit) {
  w[at] = decayed(w[at]) - learning_rate() * clipped(gradient, w[at]);
}
#end
#if STATES == 1u
// m = momentum * m - rate * g; w += m, or with Nesterov's momentum momentum * m - rate * g; or v = kept * v + share * g * g;
// w -= rate * g / sqrt(v + epsilon).
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
// m += (g - m) * mean_share; v += (g * g - v) * share; w -= m * rate * correction / (sqrt(v) + epsilon); or v = kept * v + share * g * g with
// either q = momentum * q + rate * g / sqrt(v + epsilon); w -= q, or a = kept * a + share * g; w -= rate * g / sqrt(v - a * a + epsilon).
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
// m += (g - m) * mean_share; v += (g * g - v) * share; u = max(u, v); w -= m * rate * correction / (sqrt(u) + epsilon); or
// v = kept * v + share * g * g; a = kept * a + share * g; q = momentum * q + rate * g / sqrt(v - a * a + epsilon); w -= q.
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
