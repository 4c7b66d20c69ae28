// dz = dy * activation'(saved), element by element; `saved` is the output or the value before the activation.
#import shared/activation_derivative
#import shared/elements

@group(0) @binding(1) var<storage, read> saved: array<f32>;     // [count]
@group(0) @binding(2) var<storage, read> dy: array<f32>;        // [count]
@group(0) @binding(3) var<storage, read_write> dz: array<f32>;  // [count]

fn compute(i: u32) {
  let s = saved[params.x_base + i];
  var d = 0.0;
  if (params.from_output == 1u) {
    d = derivative_from_output(s);
  } else {
    d = derivative_from_pre_activation(s);
  }
  dz[params.y_base + i] = d * dy[params.x_base + i];
}
