// The positions of a window that lie within the input: from `first` up to, without, `end`.
#import shared/windows

struct Positions {
  first: vec3<u32>,
  end: vec3<u32>,
}

fn positions_of(window: vec3<u32>) -> Positions {
  let start = vec3<i32>(window * strides()) - bitcast<vec3<i32>>(before());
  let most = vec3<i32>(inputs());
  let first = clamp(start, vec3<i32>(0), most);
  return Positions(vec3<u32>(first), vec3<u32>(clamp(start + vec3<i32>(windows()), vec3<i32>(0), most)));
}
