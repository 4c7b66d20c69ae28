// Windows of three axes: position p is in window o where before + p - o * stride is within [0, taps).

// The place of an element of [outer][positions][inner].
struct Place {
  outer: u32,
  at: vec3<u32>,
  inner: u32,
}

fn inputs() -> vec3<u32> {
  return vec3<u32>(params.input_0, params.input_1, params.input_2);
}

fn outputs() -> vec3<u32> {
  return vec3<u32>(params.output_0, params.output_1, params.output_2);
}

fn strides() -> vec3<u32> {
  return vec3<u32>(params.stride_0, params.stride_1, params.stride_2);
}

fn windows() -> vec3<u32> {
  return vec3<u32>(params.taps_0, params.taps_1, params.taps_2);
}

fn before() -> vec3<u32> {
  return vec3<u32>(params.before_0, params.before_1, params.before_2);
}

// Element number i of [outer][sizes][inner].
fn place_of(i: u32, sizes: vec3<u32>) -> Place {
  let position = i / params.inner;
  let line = position / sizes.z;
  let plane = line / sizes.y;
  return Place(plane / sizes.x, vec3<u32>(plane % sizes.x, line % sizes.y, position % sizes.z), i % params.inner);
}

// The number of a position in [sizes].
fn number_of(at: vec3<u32>, sizes: vec3<u32>) -> u32 {
  return (at.x * sizes.y + at.y) * sizes.z + at.z;
}

// The number of an element of [outer][sizes][inner].
fn element_of(outer: u32, at: vec3<u32>, inner: u32, sizes: vec3<u32>) -> u32 {
  return (outer * sizes.x * sizes.y * sizes.z + number_of(at, sizes)) * params.inner + inner;
}
