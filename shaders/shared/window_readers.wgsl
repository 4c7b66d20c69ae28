// The windows that contain a position: from `first` up to, without, `end`.
#import shared/windows

struct Readers {
  first: vec3<u32>,
  end: vec3<u32>,
}

fn readers_of(position: vec3<u32>) -> Readers {
  let at = position + before();
  let size = windows();
  let first = select(vec3<u32>(0u), (at - size) / strides() + 1u, at >= size);
  return Readers(first, min(at / strides() + 1u, outputs()));
}
