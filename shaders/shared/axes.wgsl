// Elements of a sample by their index along four axes, of which the last is the innermost.
struct Place {
  sample: u32,
  axes: vec4<u32>,
}

// The place of element i in samples of these sizes. The size of the first axis isn't needed.
fn place(i: u32, elements: u32, size_1: u32, size_2: u32, size_3: u32) -> Place {
  let within = i % elements;
  let row = within / size_3;
  let plane = row / size_2;
  return Place(i / elements, vec4(plane / size_1, plane % size_1, row % size_2, within % size_3));
}

fn at(place: Place, sample: u32, stride_0: u32, stride_1: u32, stride_2: u32, stride_3: u32) -> u32 {
  let steps = place.axes * vec4(stride_0, stride_1, stride_2, stride_3);
  return place.sample * sample + steps.x + steps.y + steps.z + steps.w;
}
