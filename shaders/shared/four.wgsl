// A four with element number `at` replaced. Not by `four[at] = ...`: FXC, Direct3D's older compiler, knows no variable index there.
fn with_element(four: vec4<f32>, at: u32, element: f32) -> vec4<f32> {
  return select(four, vec4(element), vec4(at) == vec4(0u, 1u, 2u, 3u));
}
