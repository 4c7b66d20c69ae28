// y[part] = factor * sum of the terms of up to 4096 values. Each part has a workgroup; params.columns is the number of
// values of a part.
#import shared/accumulate with results = y, Stored = f32
#import shared/join_all
#import shared/step
#import shared/workgroups

@group(0) @binding(1) var<storage, read> x: array<f32>;        // [count]
@group(0) @binding(2) var<storage, read> numbers: array<u32>;  // a step's; anything without use_step
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [parts]

// The codes of ops::Term.
const VALUE = 0u;
const MAGNITUDE = 1u;
const SQUARE = 2u;
// Values that a thread loads before it adds the first.
const AHEAD = 4u;

fn term(value: f32) -> f32 {
#if OF == SQUARE
  return value * value;
#else
#if OF == MAGNITUDE
  return abs(value);
#else
  return value;
#end
#end
}

fn compute(part: u32, lane: u32) {
  let first = part * params.columns;
  let end = min(first + params.columns, params.count);
  var sum = 0.0;
  for (var i = first + lane; i < end; i += AHEAD * THREADS) {
    var some: array<f32, AHEAD>;
    #unroll for (var r = 0u; r < AHEAD; r++) {
      let at = i + r * THREADS;
      some[r] = select(0.0, term(x[params.x_base + min(at, end - 1u)]), at < end);
    }
    #unroll for (var r = 0u; r < AHEAD; r++) {
      sum += some[r];
    }
  }
  sum = join_all(sum, lane, false);
  if (lane == 0u) {
    sum *= params.factor;
    if (params.use_step == 1u) {
      sum *= per_sample();
    }
    accumulate(params.y_base + part, sum);
  }
}
