// y[r, first + c] = x[r, c]: copies one of several inputs to its columns of the output, which begin at y_base.
#import shared/dispatch
#import shared/units

@group(0) @binding(1) var<storage, read> x: array<Unit>;        // [rows of all samples][columns]
@group(0) @binding(2) var<storage, read_write> y: array<Unit>;  // [rows of all samples][row]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group) * THREADS + lane;
  if (i < params.count) {
    y[params.y_base + i / params.columns * params.row + i % params.columns] = x[params.x_base + i];
  }
}
