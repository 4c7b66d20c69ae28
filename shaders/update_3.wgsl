// A step of an optimizer with three states for each weight.
#import shared/update_elements

@group(0) @binding(1) var<storage, read> numbers: array<u32>;        // a step's
@group(0) @binding(2) var<storage, read> scale: array<f32>;          // [1]; anything without use_scale
@group(0) @binding(3) var<storage, read> gradient: array<Unit>;      // [count]
@group(0) @binding(4) var<storage, read_write> w: array<Unit>;       // [count]
@group(0) @binding(5) var<storage, read_write> first: array<Unit>;   // [count]
@group(0) @binding(6) var<storage, read_write> second: array<Unit>;  // [count]
@group(0) @binding(7) var<storage, read_write> third: array<Unit>;   // [count]

const STATES = 3u;
