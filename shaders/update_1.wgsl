// A step of an optimizer that keeps one state: m = momentum * m - rate * g; w += m, or with Nesterov's momentum
// momentum * m - rate * g; or v = kept * v + share * g * g; w -= rate * g / sqrt(v + epsilon).
#import shared/dispatch
#import shared/update

@group(0) @binding(1) var<storage, read> numbers: array<u32>;      // a step's
@group(0) @binding(2) var<storage, read> scale: array<f32>;        // [1], or nobody's
@group(0) @binding(3) var<storage, read> gradient: array<Unit>;    // [count]
@group(0) @binding(4) var<storage, read_write> w: array<Unit>;     // [count]
@group(0) @binding(5) var<storage, read_write> state: array<Unit>; // [count]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group) * THREADS + lane;
  if (i >= params.count) {
    return;
  }
  let at = params.y_base + i;
  let before = state[at];
  let weight = decayed(w[at]);
  let g = clipped(gradient[at], w[at]);
#if RULE == RMSPROP
  let after = average(before, g * g);
  w[at] = weight - learning_rate() * g / sqrt(after + params.epsilon);
#else
  let after = params.momentum * before - learning_rate() * g;
#if RULE == NESTEROV
  w[at] = weight + (params.momentum * after - learning_rate() * g);
#else
  w[at] = weight + after;
#end
#end
  state[at] = after;
}
