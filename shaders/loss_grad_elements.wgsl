// dp = weight * per_sample / divisor * slope of the loss, for losses that are means over elements.
#import shared/element_loss
#import shared/elements
#import shared/step

@group(0) @binding(1) var<storage, read> p: array<f32>;         // [samples][elements]
@group(0) @binding(2) var<storage, read> t: array<f32>;         // as p
@group(0) @binding(3) var<storage, read> weight: array<f32>;    // [samples]; p where there are no weights
@group(0) @binding(4) var<storage, read> numbers: array<u32>;   // [4], a step's
@group(0) @binding(5) var<storage, read_write> dp: array<f32>;  // as p

fn compute(i: u32) {
  let own = select(1.0, weight[params.b_base + i / params.elements], params.use_scale == 1u);
  let factor = own * per_sample() / params.divisor;
  dp[params.y_base + i] = factor * element_slope(p[params.x_base + i], smoothed(t[params.w_base + i]));
}
