// y = limit / max(norm, limit), where norm = sqrt(x). NaN where the norm of all gradients together isn't finite.
#import shared/dispatch

@group(0) @binding(1) var<storage, read> x: array<f32>;        // [1]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [1]

const NAN_BITS = 0x7fc00000u;
const INFINITY_BITS = 0x7f800000u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  if (workgroup_index(group) * THREADS + lane > 0u) {
    return;
  }
  // Asked by its bits: compilers may assume that no number is NaN.
  let bits = bitcast<u32>(x[0]);
  let magnitude = bits & 0x7fffffffu;
  var result = bitcast<u32>(params.limit / max(sqrt(x[0]), params.limit));
  if (magnitude == INFINITY_BITS) {
    result = 0u;
  }
  if (magnitude > INFINITY_BITS || (GLOBAL == 1u && magnitude == INFINITY_BITS)) {
    result = NAN_BITS;
  }
  y[0] = bitcast<f32>(result);
}
