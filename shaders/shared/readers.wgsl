// The readers of an input position: the pairs of a location and a tap whose window reads that position. The kernel
// declares `tables`.
struct Readers {
  first: vec3<u32>,   // by axis: the first of the position's pairs
  inner: vec2<u32>,   // how many pairs on the two inner axes
  count: u32,         // readers in all
}

fn readers_of(position: u32) -> Readers {
  let s0 = params.starts_0 + position / (params.input_1 * params.input_2);
  let s1 = params.starts_1 + position / params.input_2 % params.input_1;
  let s2 = params.starts_2 + position % params.input_2;
  let first = vec3(tables[s0], tables[s1], tables[s2]);
  let counts = vec3(tables[s0 + 1u], tables[s1 + 1u], tables[s2 + 1u]) - first;
  return Readers(first, counts.yz, counts.x * counts.y * counts.z);
}

// The location and tap of reader number e.
fn reader(readers: Readers, e: u32) -> vec2<u32> {
  let e0 = params.inverse_0 + 2u * (readers.first.x + e / (readers.inner.x * readers.inner.y));
  let e1 = params.inverse_1 + 2u * (readers.first.y + e / readers.inner.y % readers.inner.x);
  let e2 = params.inverse_2 + 2u * (readers.first.z + e % readers.inner.y);
  let p = tables[e0] + tables[e1] + tables[e2];
  let t = tables[e0 + 1u] + tables[e1 + 1u] + tables[e2 + 1u];
  return vec2(p, t);
}
