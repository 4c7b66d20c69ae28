// y = x, changed by a random number for each element: MASK puts a constant (0, for example) where the number is small,
// TIMES multiplies by 1 plus a normally distributed number, PLUS adds one. A number depends on its element's place
// only. Four numbers are one block; a thread has four neighbouring elements, most often of one block.
#import shared/dispatch
#import shared/axes
#import shared/philox
#import shared/normal
#import shared/step

@group(0) @binding(1) var<storage, read> x: array<f32>;        // [batch][sizes]
@group(0) @binding(2) var<storage, read> numbers: array<u32>;   // [4], a step's
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [batch][sizes]

const MASK = 0u;
const TIMES = 1u;

fn changed(value: f32, word: u32, normal: f32) -> f32 {
  switch (EFFECT) {
    case MASK: { return select(value * params.factor + params.addend, params.otherwise, word < params.below); }
    case TIMES: { return value * (1.0 + params.factor * normal); }
    default: { return value + params.factor * normal; }
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = 4u * (workgroup_index(group) * THREADS + lane);
  let key = vec2(params.seed_0, params.seed_1);
  // No block has this number, so the first one is always made.
  var block = vec2(0xffffffffu);
  var words = vec4<u32>();
  var all_normals = vec4<f32>(0.0);
  for (var q = 0u; q < 4u; q++) {
    let i = first + q;
    if (i >= params.count) {
      break;
    }
    let where_i = place(i, params.elements, params.size_1, params.size_2, params.size_3);
    let number = at(where_i, params.a_sample, params.a_0, params.a_1, params.a_2, params.a_3);
    let low = params.noise_0 + number;
    let high = params.noise_1 + select(0u, 1u, low < number);
    let own = vec2((low >> 2u) | (high << 30u), high >> 2u);
    if (any(own != block)) {
      block = own;
      words = philox(vec4(own, draw(), 1u), key);
      if (EFFECT != MASK) {
        all_normals = normals(words);
      }
    }
    y[params.y_base + i] = changed(x[params.x_base + i], words[low % 4u], all_normals[low % 4u]);
  }
}
