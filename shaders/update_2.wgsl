// A step of an optimizer that keeps two states: m += (g - m) * mean_share; v += (g * g - v) * share;
// w -= m * rate * correction / (sqrt(v) + epsilon); or v = kept * v + share * g * g with either
// q = momentum * q + rate * g / sqrt(v + epsilon); w -= q, or a = kept * a + share * g; w -= rate * g / sqrt(v - a * a + epsilon).
#import shared/dispatch
#import shared/update

@group(0) @binding(1) var<storage, read> numbers: array<u32>;       // a step's
@group(0) @binding(2) var<storage, read> scale: array<f32>;         // [1], or nobody's
@group(0) @binding(3) var<storage, read> gradient: array<Unit>;     // [count]
@group(0) @binding(4) var<storage, read_write> w: array<Unit>;      // [count]
@group(0) @binding(5) var<storage, read_write> first: array<Unit>;  // [count]
@group(0) @binding(6) var<storage, read_write> second: array<Unit>; // [count]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group) * THREADS + lane;
  if (i >= params.count) {
    return;
  }
  let at = params.y_base + i;
  let a = first[at];
  let b = second[at];
  let weight = decayed(w[at]);
  let g = clipped(gradient[at], w[at]);
#if RULE == ADAM
  let m = a + (g - a) * params.mean_share;
  let v = b + (g * g - b) * params.share;
  w[at] = weight - m * (learning_rate() * correction()) / (sqrt(v) + params.epsilon);
  first[at] = m;
  second[at] = v;
#else
  let v = average(a, g * g);
#if RULE == RMSPROP_MOMENTUM
  let other = params.momentum * b + learning_rate() * g / sqrt(v + params.epsilon);
  w[at] = weight - other;
#else
  let other = average(b, g);
  w[at] = weight - learning_rate() * g / sqrt(v - other * other + params.epsilon);
#end
  first[at] = v;
  second[at] = other;
#end
}
