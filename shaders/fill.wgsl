// y = 0.
#import shared/elements

@group(0) @binding(1) var<storage, read_write> y: array<f32>;  // [count]

fn compute(i: u32) {
  y[params.y_base + i] = 0.0;
}
