// What a thread loads of the inputs at once where INPUT_WIDTH is 4: channels lie in aligned fours.
alias Input = vec4<f32>;

// Channel `at` of them.
fn of_input(input: Input, at: u32) -> f32 {
  return input[at];
}

// The input of four channels that begins with number `at`.
fn input_of(four: vec4<f32>, at: u32) -> Input {
  return four;
}

// Four channels with an input of them, from `at` on, replaced.
fn with_input(four: vec4<f32>, at: u32, input: Input) -> vec4<f32> {
  return input;
}
