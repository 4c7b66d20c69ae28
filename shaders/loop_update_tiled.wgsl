// loop_update by tiles.
#import shared/gradient_product
#import shared/weights_change

@group(0) @binding(1) var<storage, read> x: array<Input>;            // input samples
@group(0) @binding(2) var<storage, read> dz: array<Unit>;            // output samples
@group(0) @binding(3) var<storage, read> tables: array<u32>;         // tap tables
// Bindings 4 to 7: shared/weights_change

fn store(at: u32, four: vec4<f32>, from_column: u32) {
  change(at, unit_of(four, from_column));
}
