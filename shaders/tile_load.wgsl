// How the threads of tile.wgsl load a step's operands together: fours of neighbours, WIDTH elements at once.

// Fours of either tile that a thread loads.
const A_FOURS = TILE_ROWS * DEPTH / 4u / THREADS;
const B_FOURS = TILE_COLUMNS * DEPTH / 4u / THREADS;

// Where a thread's four number i lies in a tile of so many rows or columns: which k, which row or column. Those of
// neighbouring threads follow each other in the direction that neighbours lie in memory.
fn place(along_depth: bool, lane: u32, i: u32, size: u32) -> vec2<u32> {
  if (along_depth) {
    return vec2(4u * (lane % (DEPTH / 4u)), lane / (DEPTH / 4u) + i * (4u * THREADS / DEPTH));
  }
  return vec2(lane / (size / 4u) + i * (4u * THREADS / size), 4u * (lane % (size / 4u)));
}

// What a thread loads for a step: of both operands, and whether it is there.
struct Loaded {
  a: array<vec4<f32>, A_FOURS>,
  a_there: array<vec4<bool>, A_FOURS>,
  b: array<vec4<f32>, B_FOURS>,
  b_there: array<vec4<bool>, B_FOURS>,
}

// Shares of the rows and columns that a thread loads: of its fours where they lie along the depth, within its fours
// where not.
struct Shares {
  a: array<u32, max(4u, A_FOURS)>,
  b: array<u32, max(4u, B_FOURS)>,
}

// What is not there is loaded from the start of the buffer, so that no load waits for another.
fn load(shares: Shares, k0: u32, lane: u32) -> Loaded {
  var loaded: Loaded;
  for (var i = 0u; i < A_FOURS; i++) {
    let first = place(A_ALONG_DEPTH, lane, i, TILE_ROWS);
    for (var q = 0u; q < 4u; q += WIDTH) {
      let at = terms[k0 % THREADS + first.x + select(0u, q, A_ALONG_DEPTH)].x;
      let row = shares.a[select(q, i, A_ALONG_DEPTH)];
      let there = at != NO_TAP && (A_ALONG_DEPTH || row != NO_TAP);
      loaded.a[i] = with_unit(loaded.a[i], q, load_a(select(0u, at + row, there)));
      loaded.a_there[i] = with_flag(loaded.a_there[i], q, there);
    }
  }
  for (var i = 0u; i < B_FOURS; i++) {
    let first = place(B_ALONG_DEPTH, lane, i, TILE_COLUMNS);
    for (var q = 0u; q < 4u; q += WIDTH) {
      // Weights of taps that padding clips may be anything, also not a number.
      let at = terms[k0 % THREADS + first.x + select(0u, q, B_ALONG_DEPTH)];
      let there = at.x != NO_TAP;
      let column = shares.b[select(q, i, B_ALONG_DEPTH)];
      loaded.b[i] = with_unit(loaded.b[i], q, load_b(select(0u, at.y + column, there)));
      loaded.b_there[i] = with_flag(loaded.b_there[i], q, there);
    }
  }
  return loaded;
}

// To workgroup memory, zeroes in place of what is not there.
fn keep(loaded: Loaded, lane: u32) {
  for (var i = 0u; i < A_FOURS; i++) {
    let first = place(A_ALONG_DEPTH, lane, i, TILE_ROWS);
    let four = select(vec4<f32>(), loaded.a[i], loaded.a_there[i]);
    if (A_ALONG_DEPTH) {
      for (var q = 0u; q < 4u; q++) {
        tile_a[first.x + q][first.y / 4u][first.y % 4u] = four[q];
      }
    } else {
      tile_a[first.x][first.y / 4u] = four;
    }
  }
  for (var i = 0u; i < B_FOURS; i++) {
    let first = place(B_ALONG_DEPTH, lane, i, TILE_COLUMNS);
    let four = select(vec4<f32>(), loaded.b[i], loaded.b_there[i]);
    if (B_ALONG_DEPTH) {
      for (var q = 0u; q < 4u; q++) {
        tile_b[first.x + q][first.y / 4u][first.y % 4u] = four[q];
      }
    } else {
      tile_b[first.x][first.y / 4u] = four;
    }
  }
}
