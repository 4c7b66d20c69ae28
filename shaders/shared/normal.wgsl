// Normally distributed numbers from pairs of random words, by Box and Muller. Each word's first 23 bits, plus a half,
// are a number between 0 and 1. WGSL's own logarithms and sines may be too coarse, so these are Cephes's polynomials,
// as in src/cpu/random.rs.
fn normals(words: vec4<u32>) -> vec4<f32> {
  let radius = sqrt(-2.0 * vec2(logarithm(words.x >> 9u), logarithm(words.z >> 9u)));
  return radius.xxyy * vec4(cosine_and_sine(words.y >> 9u), cosine_and_sine(words.w >> 9u));
}

// The natural logarithm of (k + 0.5) / 2^23.
fn logarithm(k: u32) -> f32 {
  // Exact, since it has 24 bits.
  let bits = bitcast<u32>((f32(k) + 0.5) / 8388608.0);
  let m = bitcast<f32>((bits & 0x007fffffu) | 0x3f000000u);
  let is_small = m < 0.70710678;
  let e = f32(i32(bits >> 23u) - select(126i, 127i, is_small));
  let x = select(m, m + m, is_small) - 1.0;
  let square = x * x;
  var polynomial = 7.0376836e-2 * x - 1.151461e-1;
  polynomial = polynomial * x + 1.1676999e-1;
  polynomial = polynomial * x - 1.2420141e-1;
  polynomial = polynomial * x + 1.4249323e-1;
  polynomial = polynomial * x - 1.6668058e-1;
  polynomial = polynomial * x + 2.0000715e-1;
  polynomial = polynomial * x - 2.4999994e-1;
  polynomial = polynomial * x + 3.3333331e-1;
  let more = polynomial * x * square + e * -2.1219444e-4 - 0.5 * square;
  return x + more + e * 0.693359375;
}

// The cosine and sine of (k + 0.5) / 2^23 of a turn, by polynomials within an eighth of a turn around the nearest
// quarter.
fn cosine_and_sine(k: u32) -> vec2<f32> {
  let quarter = (k + 0x100000u) >> 21u;
  let x = (f32(i32(k) - i32(quarter << 21u)) + 0.5) / 2097152.0 * 1.57079633;
  let z = x * x;
  let sine = ((-1.9515296e-4 * z + 8.332161e-3) * z - 1.6666655e-1) * z * x + x;
  let cosine = ((2.4433157e-5 * z - 1.3887316e-3) * z + 4.1666646e-2) * z * z - 0.5 * z + 1.0;
  switch (quarter % 4u) {
    case 0u: { return vec2(cosine, sine); }
    case 1u: { return vec2(-sine, cosine); }
    case 2u: { return vec2(-cosine, -sine); }
    default: { return vec2(sine, -cosine); }
  }
}
