// What a thread loads of the inputs at once where INPUT_WIDTH is 1.
alias Input = f32;

// Channel `at` of them.
fn of_input(input: Input, at: u32) -> f32 {
  return input;
}
