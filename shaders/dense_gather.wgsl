// dw[p, k, f] = d[window(p, k)][column of (p, f)]: the connected entries of the dense gradient; 0 at clipped taps.
#import shared/accumulate with results = dw, Stored = f32
#import shared/cell
#import shared/elements
#import shared/window

@group(0) @binding(1) var<storage, read> d: array<f32>;         // [dense_rows][dense_columns]
@group(0) @binding(2) var<storage, read> tables: array<u32>;    // tap tables
@group(0) @binding(3) var<storage, read_write> dw: array<f32>;  // [cells][window][filters], from w_base

fn compute(index: u32) {
  let f = index % params.filters;
  let k = index / params.filters % params.window;
  let local_cell = index / params.filters / params.window;
  let cell = cell_at(params.first_cell + local_cell);
  let t = k / params.group_channels;
  let c = k % params.group_channels;
  let window = window_offset(tap_rows(cell.p), t);
  var value = 0.0;
  if (window != NO_TAP) {
    let row = window + (cell.g * params.group_channels + c) * params.x_channel;
    value = d[row * params.dense_columns + local_cell * params.filters + f];
  }
  accumulate(params.w_base + index, value);
}
