// The windows that contain a position: from `first` up to, without, `end`.
#import shared/windows

struct Readers {
  first: vec3<u32>,
  end: vec3<u32>,
}

fn readers_of(position: vec3<u32>) -> Readers {
  let at = position + before();
  let size = windows();
  // Not by `select`, which of whole numbers is no GLSL before 4.50: nothing is past, or past / strides rounded up.
  let past = max(at + 1u, size) - size;
  let first = min(past, vec3(1u)) * ((past - 1u) / strides() + 1u);
  return Readers(first, min(at / strides() + 1u, outputs()));
}
