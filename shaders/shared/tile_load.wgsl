// How the threads of tile.wgsl load a step's operands: fours of neighbouring elements, A_WIDTH or B_WIDTH of them at
// once.

// How many fours of each tile a thread loads.
const A_FOURS = TILE_ROWS * DEPTH / 4u / SLICE_THREADS;
const B_FOURS = TILE_COLUMNS * DEPTH / 4u / SLICE_THREADS;
// How many rows, and columns, it loads from: one for each of its fours where fours lie along the depth, else the four
// of all its fours.
const A_SHARES = select(4u, A_FOURS, A_ALONG_DEPTH);
const B_SHARES = select(4u, B_FOURS, B_ALONG_DEPTH);

// The place of a thread's first four in a tile: its k and its row or column, each also as a number of a four and a
// place within that four. Fours of neighbouring threads follow each other in the direction in which elements are
// neighbours in memory. A thread's other fours follow in the other direction, SIDE_STEP rows or columns apart, or one k
// apart.
struct Place {
  k: u32,
  k_four: u32,
  k_within: u32,
  side: u32,
  side_four: u32,
  side_within: u32,
}

const SIDE_STEP = 4u * SLICE_THREADS / DEPTH;

fn place(along_depth: bool, lane: u32, size: u32) -> Place {
  var k = 4u * (lane % (DEPTH / 4u));
  var side = lane / (DEPTH / 4u);
  if (!along_depth) {
    k = lane / (size / 4u) * (size * DEPTH / 4u / SLICE_THREADS);
    side = 4u * (lane % (size / 4u));
  }
  return Place(k, k / 4u, k % 4u, side, side / 4u, side % 4u);
}

// Terms of a four that may exist or not, each for itself: elements that are loaded at once all do or all don't.
const A_TERMS = select(1u, 4u / A_WIDTH, A_ALONG_DEPTH);
const B_TERMS = select(1u, 4u / B_WIDTH, B_ALONG_DEPTH);

// What stays the same for all steps of a thread: its places, and its rows' and columns' shares of the index, in units
// of A_WIDTH and B_WIDTH.
struct Own {
  a: Place,
  b: Place,
  a_share: array<u32, A_SHARES>,
  b_share: array<u32, B_SHARES>,
}

// What a thread loaded of both operands, and which of it exists.
struct Loaded {
  a: array<vec4<f32>, A_FOURS>,
  a_there: array<vec4<bool>, A_FOURS>,
  b: array<vec4<f32>, B_FOURS>,
  b_there: array<vec4<bool>, B_FOURS>,
}

// The exponent of an infinity and of NaN.
const INFINITE = 0x7f800000u;

// What doesn't exist is loaded too, from where its row or column begins, so that no load waits for another.
fn load(own: Own, k0: u32) -> Loaded {
  var loaded: Loaded;
  #unroll for (var i = 0u; i < A_FOURS; i++) {
    #unroll for (var q = 0u; q < 4u; q += A_WIDTH) {
      let at = terms[k0 % THREADS + own.a.k + select(i, q, A_ALONG_DEPTH)];
      loaded.a[i] = with_a(loaded.a[i], q, at.x + own.a_share[select(q, i, A_ALONG_DEPTH)]);
#if A_TERMS == 4u
      loaded.a_there[i][q] = at.z != NO_TERM;
#else
      loaded.a_there[i] = vec4(at.z != NO_TERM);
#end
    }
  }
  #unroll for (var i = 0u; i < B_FOURS; i++) {
    #unroll for (var q = 0u; q < 4u; q += B_WIDTH) {
      // A clipped tap's weights aren't kept: they may be anything, even NaN.
      let at = terms[k0 % THREADS + own.b.k + select(i, q, B_ALONG_DEPTH)];
#if B_HOLES == BAND
      let place = at.z + own.b_share[select(q, i, B_ALONG_DEPTH)];
      let there = place < band();
      loaded.b[i] = with_b(loaded.b[i], q, at.y + select(0u, place, there));
#else
      let there = at.z != NO_TERM;
      loaded.b[i] = with_b(loaded.b[i], q, at.y + own.b_share[select(q, i, B_ALONG_DEPTH)]);
#end
#if B_TERMS == 4u
      loaded.b_there[i][q] = there;
#else
      loaded.b_there[i] = vec4(there);
#end
    }
  }
  return loaded;
}

// Stores what was loaded in workgroup memory, with zeroes in place of what doesn't exist.
fn keep(own: Own, loaded: Loaded) {
  #unroll for (var i = 0u; i < A_FOURS; i++) {
    let four = select(vec4<f32>(0.0), loaded.a[i], loaded.a_there[i]);
#if B_HOLES == BAND
    if (any((bitcast<vec4<u32>>(four) & vec4(INFINITE)) == vec4(INFINITE))) {
      atomicStore(&not_finite, 1u);
    }
#end
    if (A_ALONG_DEPTH) {
      #unroll for (var q = 0u; q < 4u; q++) {
        tile_a[own.a.k_four].rows[q][own.a.side_four + i * SIDE_STEP / 4u][own.a.side_within] = four[q];
      }
    } else {
      tile_a[own.a.k_four + i / 4u].rows[own.a.k_within + i % 4u][own.a.side_four] = four;
    }
  }
  #unroll for (var i = 0u; i < B_FOURS; i++) {
#if B_HOLES == BAND
    let weights = select(loaded.b[i], vec4<f32>(0.0), loaded.b[i] == vec4<f32>(0.0));
    let four = select(bitcast<vec4<f32>>(vec4(HOLE)), weights, loaded.b_there[i]);
#else
    let four = select(vec4<f32>(0.0), loaded.b[i], loaded.b_there[i]);
#end
    if (B_ALONG_DEPTH) {
      #unroll for (var q = 0u; q < 4u; q++) {
        tile_b[own.b.k_four].columns[q][own.b.side_four + i * SIDE_STEP / 4u][own.b.side_within] = four[q];
      }
    } else {
      tile_b[own.b.k_four + i / 4u].columns[own.b.k_within + i % 4u][own.b.side_four] = four;
    }
  }
}
