// A step of an optimizer without states.
#import shared/update_elements

@group(0) @binding(1) var<storage, read> numbers: array<u32>;    // a step's
@group(0) @binding(2) var<storage, read> scale: array<f32>;      // [1]; anything without use_scale
@group(0) @binding(3) var<storage, read> gradient: array<Unit>;  // [count]
@group(0) @binding(4) var<storage, read_write> w: array<Unit>;   // [count]

const STATES = 0u;
