// What tile.wgsl asks of forward products besides where inputs, weights and results are. The kernel declares `x` and `y`.
// Where a sum is cut into several dispatches, later ones add to what is stored, and the last one activates it.
#import shared/accumulate with results = y, Stored = Unit
#import shared/finish_stored
#import shared/inputs

const A_ALONG_DEPTH = true;
const B_ALONG_DEPTH = false;
const A_WIDTH = INPUT_WIDTH;
const B_WIDTH = WIDTH;
const RESULT_WIDTH = WIDTH;

fn with_a(four: vec4<f32>, q: u32, at: u32) -> vec4<f32> {
  return with_input(four, q, x[at]);
}

// The uniform says which activation. Beside the sums that costs little.
const ACTIVATION = ANY;

fn has_addend() -> bool {
  return params.use_bias == 1u;
}

fn has_finish() -> bool {
  return activation_code() == RELU && params.accumulate == 0u;
}

fn finish(value: vec4<f32>) -> vec4<f32> {
  return relu_four(value);
}

fn store(at: u32, four: vec4<f32>, from_column: u32) {
  accumulate(at, unit_of(four, from_column));
}

fn is_finished() -> bool {
  return is_cheap() && (params.accumulate == 0u || activation_code() == LINEAR);
}
