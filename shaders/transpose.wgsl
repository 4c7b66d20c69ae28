// y[n, c, r] = x[n, r, c]. A workgroup moves a square of a sample through its memory, so that neighbouring threads both
// load and store neighbours.
#import shared/workgroups

@group(0) @binding(1) var<storage, read> x: array<f32>;        // [batch][rows][columns]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [batch][columns][rows]

const STEP = THREADS / SIDE;

// Rows have one element more than is used, so that a column's elements lie in different memory banks.
var<workgroup> square: array<f32, SIDE * (SIDE + 1u)>;

fn compute(index: u32, lane: u32) {
  let wide = (params.columns + SIDE - 1u) / SIDE;
  let high = (params.rows + SIDE - 1u) / SIDE;
  let column = index % wide * SIDE;
  let row = index / wide % high * SIDE;
  let sample = index / wide / high * params.rows * params.columns;
  let along = lane % SIDE;
  #unroll for (var i = 0u; i < SIDE; i += STEP) {
    let across = i + lane / SIDE;
    if (row + across < params.rows && column + along < params.columns) {
      square[across * (SIDE + 1u) + along] = x[params.x_base + sample + (row + across) * params.columns + column + along];
    }
  }
  workgroupBarrier();
  #unroll for (var i = 0u; i < SIDE; i += STEP) {
    let across = i + lane / SIDE;
    if (column + across < params.columns && row + along < params.rows) {
      y[params.y_base + sample + (column + across) * params.rows + row + along] = square[along * (SIDE + 1u) + across];
    }
  }
}
