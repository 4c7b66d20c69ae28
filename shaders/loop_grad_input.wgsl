// dx[n, position, c] = sum over the (p, t) that read the position, and over f, of w[p, t, c, f] * dz[n, p, f]
// A gather by input element: no two threads write the same place, so there is nothing to add atomically. A thread
// computes IMAGES samples by CHANNELS channels of one position, WIDTH filters at a step; CHANNELS divides the channels of a
// group.
#import shared/accumulate with results = dx, Stored = f32
#import shared/cell
#import shared/dispatch
#import shared/weights

// Binding 1, w: shared/weights, [cells][window][filters]
@group(0) @binding(2) var<storage, read> dz: array<Unit>;       // output samples
@group(0) @binding(3) var<storage, read> tables: array<u32>;    // tap tables
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;  // input samples

// Samples whose outputs are loaded before they are used.
const AT_ONCE = select(1u, IMAGES, LOADS_TOGETHER == 1u);

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let lanes = params.groups * params.group_channels / CHANNELS;
  let tiles = (params.batch + IMAGES - 1u) / IMAGES;
  let index = workgroup_index(group);
  let column = index / tiles * THREADS + lane;
  let first = index % tiles * IMAGES;
  if (index >= params.workgroups || column >= params.positions * lanes) {
    return;
  }
  let position = column / lanes;
  let channel = column % lanes * CHANNELS;
  let g = channel / params.group_channels;
  let c = channel % params.group_channels;
  let s0 = params.starts_0 + position / (params.input_1 * params.input_2);
  let s1 = params.starts_1 + position / params.input_2 % params.input_1;
  let s2 = params.starts_2 + position % params.input_2;
  let units = params.filters / WIDTH;
  let unit_step = select(params.y_filter, 1u, WIDTH == 4u);
  let f0 = filter_of(g, 0u) * params.y_filter;

  var sample: array<u32, IMAGES>;
  var sum: array<array<f32, CHANNELS>, IMAGES>;
  #unroll for (var i = 0u; i < IMAGES; i++) {
    sample[i] = (params.y_base + min(first + i, params.batch - 1u) * params.y_sample + f0) / WIDTH;
    #unroll for (var j = 0u; j < CHANNELS; j++) {
      sum[i][j] = 0.0;
    }
  }
  for (var e0 = tables[s0]; e0 < tables[s0 + 1u]; e0++) {
    let p0 = tables[params.inverse_0 + 2u * e0];
    let t0 = tables[params.inverse_0 + 2u * e0 + 1u];
    for (var e1 = tables[s1]; e1 < tables[s1 + 1u]; e1++) {
      let p1 = p0 + tables[params.inverse_1 + 2u * e1];
      let t1 = t0 + tables[params.inverse_1 + 2u * e1 + 1u];
      for (var e2 = tables[s2]; e2 < tables[s2 + 1u]; e2++) {
        let p = p1 + tables[params.inverse_2 + 2u * e2];
        let t = t1 + tables[params.inverse_2 + 2u * e2 + 1u];
        // Cells outside this chunk of the weights wrap around to large numbers.
        let cell = weights_of(p, g);
        if (cell < params.weight_cells) {
          let row = params.w_base / WIDTH + (cell * params.window + t * params.group_channels + c) * units;
          var at = p * (params.y_location / WIDTH);
          for (var f = 0u; f < units; f++) {
            var value: array<Unit, CHANNELS>;
            #unroll for (var j = 0u; j < CHANNELS; j++) {
              value[j] = weight(row + j * units + f);
            }
            #unroll for (var i = 0u; i < IMAGES; i += AT_ONCE) {
              var output: array<Unit, AT_ONCE>;
              #unroll for (var r = 0u; r < AT_ONCE; r++) {
                output[r] = dz[sample[i + r] + at];
              }
              #unroll for (var r = 0u; r < AT_ONCE; r++) {
                #unroll for (var j = 0u; j < CHANNELS; j++) {
                  sum[i + r][j] += unit_dot(value[j], output[r]);
                }
              }
            }
            at += unit_step;
          }
        }
      }
    }
  }
  #unroll for (var i = 0u; i < IMAGES; i++) {
    if (first + i < params.batch) {
      #unroll for (var j = 0u; j < CHANNELS; j++) {
        let at = params.x_base + (first + i) * params.x_sample + position * params.x_position
          + (channel + j) * params.x_channel;
        accumulate(at, sum[i][j]);
      }
    }
  }
}
