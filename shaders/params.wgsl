// The one uniform of every kernel; its Rust twin is kernel::Params. Counts are of this dispatch's range.
// A cell is one location of one group, p * groups + g; the weights are [cells][window][filters].
struct Params {
  workgroups: u32,      // total, folded over x and y
  workgroups_x: u32,
  batch: u32,           // samples
  accumulate: u32,      // 1: add to what the output buffer holds
  first_cell: u32,      // of the layer's cells
  cells: u32,
  first_filter: u32,    // of the group's filters
  filters: u32,         // of each cell
  groups: u32,
  group_filters: u32,   // filters of a whole group
  group_channels: u32,
  taps: u32,
  window: u32,           // K = taps * group_channels
  output_1: u32,        // output sizes of the inner axes
  output_2: u32,
  kernel_0: u32,
  kernel_1: u32,
  kernel_2: u32,
  input_1: u32,         // input sizes of the inner axes
  input_2: u32,
  positions: u32,       // input positions
  x_base: u32,          // input element (n, position, c) is x[base + n * sample + position * x_position + c * channel]
  x_sample: u32,
  x_position: u32,
  x_channel: u32,
  y_base: u32,          // output element (n, p, f) is y[base + n * sample + p * location + f * filter]
  y_sample: u32,
  y_location: u32,
  y_filter: u32,
  w_base: u32,
  use_bias: u32,
  b_base: u32,          // bias of (p, f) is b[base + p * location + f * filter]
  b_location: u32,
  b_filter: u32,
  forward_0: u32,       // tap tables, per axis: [output][kernel] -> offset into an input sample, or NO_TAP
  forward_1: u32,
  forward_2: u32,
  starts_0: u32,        // per axis: [input + 1] -> first pair of an input position
  starts_1: u32,
  starts_2: u32,
  inverse_0: u32,       // per axis: pairs (share of the location index, share of the tap index)
  inverse_1: u32,
  inverse_2: u32,
  activation: u32,      // code, see activation.wgsl
  activation_a: f32,
  activation_b: f32,
  activation_c: f32,
  count: u32,           // elements of an element-wise kernel
  row: u32,             // length of a softmax row
  from_output: u32,     // 1: derivatives are computed from the activated output
  dense_rows: u32,      // dense matrix: inputs of a sample
  dense_columns: u32,   //   and columns of this block
  first_entry: u32,     // sparse index: first entry of this chunk of the weights
  entries: u32,         //   and their number
}

@group(0) @binding(0) var<uniform> params: Params;

const NO_TAP = 0xffffffffu;

// The index of this workgroup in a dispatch folded over x and y; at or over params.workgroups there is no work.
fn workgroup_index(id: vec3<u32>) -> u32 {
  return id.y * params.workgroups_x + id.x;
}
