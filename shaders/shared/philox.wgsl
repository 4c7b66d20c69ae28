// Random numbers that depend on their place only: Philox 4x32-10, as in ops::philox. Products of 32 bits are taken in
// halves of 16.
fn product_high(a: u32, b: u32) -> u32 {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let middle = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
  let other = (a & 0xffffu) * (b >> 16u) + (middle & 0xffffu);
  return (a >> 16u) * (b >> 16u) + (middle >> 16u) + (other >> 16u);
}

fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
  var words = counter;
  var round_key = key;
  for (var round = 0u; round < 10u; round++) {
    let first = vec2(words.x * 0xd2511f53u, product_high(words.x, 0xd2511f53u));
    let second = vec2(words.z * 0xcd9e8d57u, product_high(words.z, 0xcd9e8d57u));
    words = vec4(second.y ^ words.y ^ round_key.x, second.x, first.y ^ words.w ^ round_key.y, first.x);
    round_key += vec2(0x9e3779b9u, 0xbb67ae85u);
  }
  return words;
}
