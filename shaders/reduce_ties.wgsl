// ties[o, s, c] = the number of x[o, p, c] that are y[o, c], over p = s, s + parts, s + 2 parts, ...
#import shared/elements

@group(0) @binding(1) var<storage, read> x: array<f32>;            // [outer][length][inner]
@group(0) @binding(2) var<storage, read> y: array<f32>;            // [outer][inner], the largest along the axis
@group(0) @binding(3) var<storage, read_write> ties: array<f32>;  // [outer][parts][inner]

fn compute(i: u32) {
  let outer = i / params.inner / params.parts;
  let first = params.x_base + outer * params.length * params.inner + i % params.inner;
  let largest = y[outer * params.inner + i % params.inner];
  var count = 0u;
  for (var p = i / params.inner % params.parts; p < params.length; p += params.parts) {
    count += select(0u, 1u, x[first + p * params.inner] == largest);
  }
  ties[i] = f32(count);
}
