// d[window(p, k)][column of (p, f)] += w[p, k, f] on a matrix of zeroes, for the rows of the weights from params.row to
// params.row + params.count: all rows, unless a driver would end the loop. A thread has a column, because with circular
// padding two taps may read one input.
#import shared/cell
#import shared/dispatch
#import shared/weights
#import shared/window
const WIDTH = 1u;

// Binding 1, w: shared/weights, [cells][window][filters]
@group(0) @binding(2) var<storage, read> tables: array<u32>;   // tap tables
@group(0) @binding(3) var<storage, read_write> d: array<f32>;  // [dense_rows][dense_columns]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let column = workgroup_index(group) * THREADS + lane;
  if (column >= params.dense_columns) {
    return;
  }
  let local_cell = column / params.filters;
  let cell = cell_at(params.first_cell + local_cell);
  let rows = tap_rows(cell.p);
  let weights = params.w_base + local_cell * params.window * params.filters + column % params.filters;
  for (var k = params.row; k < params.row + params.count; k++) {
    let window = window_offset(rows, k / params.group_channels);
    if (window != NO_TAP) {
      let row = window + (cell.g * params.group_channels + k % params.group_channels) * params.x_channel;
      d[row * params.dense_columns + column] += weight(weights + k * params.filters);
    }
  }
}
