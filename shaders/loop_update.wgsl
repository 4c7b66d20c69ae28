// A step of an optimizer by the gradient of weights that loop_grad_weights computes, kept nowhere: w and STATES states follow it.
#import shared/weights_change
#import shared/window_gradient

@group(0) @binding(1) var<storage, read> x: array<Input>;            // input samples
@group(0) @binding(2) var<storage, read> dz: array<Unit>;            // output samples
@group(0) @binding(3) var<storage, read> tables: array<u32>;         // tap tables
// Bindings 4 to 7: shared/weights_change

fn store(at: u32, sum: Unit) {
  change(at, sum);
}
