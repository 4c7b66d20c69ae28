// y[o, s, c] = the largest, or the sum / divisor, of x[o, p, c] over p = s, s + parts, s + 2 parts, ...
#import shared/elements

@group(0) @binding(1) var<storage, read> x: array<f32>;        // [outer][length][inner]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [outer][parts][inner]

const LARGEST = 0u;

fn compute(i: u32) {
  let part = i / params.inner % params.parts;
  let first = params.x_base + i / params.inner / params.parts * params.length * params.inner + i % params.inner;
  var result = x[first + part * params.inner];
  for (var p = part + params.parts; p < params.length; p += params.parts) {
    let value = x[first + p * params.inner];
#if KIND == LARGEST
    // NaN counts as the largest. It is asked by its bits, since compilers may assume that no number is NaN.
    result = select(result, value, value > result || (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u);
#else
    result += value;
#end
  }
#if KIND == LARGEST
  y[params.y_base + i] = result;
#else
  y[params.y_base + i] = result / params.divisor;
#end
}
