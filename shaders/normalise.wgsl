// y = activation((x - mean[c]) * factor[c] + beta[c]), where c is the element's channel.
#import shared/activation
#import shared/elements

@group(0) @binding(1) var<storage, read> x: array<f32>;        // [count / (channels * inner)][channels][inner]
@group(0) @binding(2) var<storage, read> mean: array<f32>;     // [channels]
@group(0) @binding(3) var<storage, read> factor: array<f32>;   // [channels]
@group(0) @binding(4) var<storage, read> beta: array<f32>;     // [channels]; the mean where there is none
@group(0) @binding(5) var<storage, read_write> y: array<f32>;  // as x

fn compute(i: u32) {
  let c = i / params.inner % params.channels;
  let shift = select(0.0, beta[c], params.use_bias == 1u);
  y[params.y_base + i] = activate((x[params.x_base + i] - mean[c]) * factor[c] + shift);
}
