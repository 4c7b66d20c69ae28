// What a thread of tile.wgsl loads at once where neighbours lie in aligned fours.
alias Unit = vec4<f32>;

fn with_unit(four: vec4<f32>, at: u32, unit: Unit) -> vec4<f32> {
  return unit;
}
