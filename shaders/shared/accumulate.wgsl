// Stores a result, or adds it to what the kernel's `results` hold.
fn accumulate(at: u32, value: Stored) {
  var sum = value;
  if (params.accumulate == 1u) {
    sum += results[at];
  }
  results[at] = sum;
}
