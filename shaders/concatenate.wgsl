// y[r, first + c] = x[r, c]: copies one of several inputs to its columns of the output, which begin at y_base.
#import shared/elements
#import shared/units

@group(0) @binding(1) var<storage, read> x: array<Unit>;        // [rows of all samples][columns]
@group(0) @binding(2) var<storage, read_write> y: array<Unit>;  // [rows of all samples][row]

fn compute(i: u32) {
  y[params.y_base + i / params.columns * params.row + i % params.columns] = x[params.x_base + i];
}
