// loop_grad_weights by tiles.
#import shared/accumulate with results = dw, Stored = Unit
#import shared/gradient_product

@group(0) @binding(1) var<storage, read> x: array<Input>;        // input samples
@group(0) @binding(2) var<storage, read> dz: array<Unit>;        // output samples
@group(0) @binding(3) var<storage, read> tables: array<u32>;     // tap tables
@group(0) @binding(4) var<storage, read_write> dw: array<Unit>;  // [cells][window][filters]

fn store(at: u32, four: vec4<f32>, from_column: u32) {
  accumulate(at, unit_of(four, from_column));
}
