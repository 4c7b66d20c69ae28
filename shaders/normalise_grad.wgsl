// dx = dx - n * slope[c] * factor[c], where c is the element's channel: the last step of the gradient through the
// batch's own statistics.
#import shared/elements

@group(0) @binding(1) var<storage, read> n: array<f32>;         // [count / (channels * inner)][channels][inner]
@group(0) @binding(2) var<storage, read> slope: array<f32>;     // [channels]
@group(0) @binding(3) var<storage, read> factor: array<f32>;    // [channels]
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;  // as n

fn compute(i: u32) {
  let c = i / params.inner % params.channels;
  dx[params.y_base + i] -= n[params.x_base + i] * slope[c] * factor[c];
}
