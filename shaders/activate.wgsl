// y = activation(z), element by element.
#import shared/activation
#import shared/elements

@group(0) @binding(1) var<storage, read> z: array<f32>;        // [count]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [count]

fn compute(i: u32) {
  y[params.y_base + i] = activate(z[params.x_base + i]);
}
