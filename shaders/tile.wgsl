// The main of every product by tiles in workgroup memory: for each product of a kernel,
//   result[row, column] = sum over k of a[row, k] * b[k, column]
// THREAD_ROWS x THREAD_COLUMNS threads compute a tile, each ROWS x COLUMNS fours by fours, DEPTH terms of the sums at a
// time. The kernel says where its operands lie, as a share of the index by k (`term`) and one by row or column, NO_TAP
// for what is not there; along which of the two neighbours lie (A_ALONG_DEPTH, B_ALONG_DEPTH), so that a thread loads
// fours of them, WIDTH at once; and where a result goes, in shares too.
const DEPTH = 16u;
const THREADS = THREAD_ROWS * THREAD_COLUMNS;
const TILE_ROWS = 4u * ROWS * THREAD_ROWS;
const TILE_COLUMNS = 4u * COLUMNS * THREAD_COLUMNS;
// Fours of either tile that a thread loads.
const A_FOURS = TILE_ROWS * DEPTH / 4u / THREADS;
const B_FOURS = TILE_COLUMNS * DEPTH / 4u / THREADS;

// By k and by rows or columns in fours; one vector more than there are, so that those of neighbouring k lie in different
// banks.
var<workgroup> tile_a: array<array<vec4<f32>, TILE_ROWS / 4u + 1u>, DEPTH>;
var<workgroup> tile_b: array<array<vec4<f32>, TILE_COLUMNS / 4u + 1u>, DEPTH>;
// The terms of the steps to come: a's share and b's; NO_TAP, 0 where a has nothing, whatever b has.
var<workgroup> terms: array<vec2<u32>, THREADS>;
// Where rows don't lie along the depth, NO_TAP for those that a has nothing of.
var<workgroup> row_share: array<vec4<u32>, TILE_ROWS / 4u>;

// Where a thread's four number i lies in a tile of so many rows or columns: which k, which row or column. Those of
// neighbouring threads follow each other in the direction that neighbours lie in memory.
fn place(along_depth: bool, lane: u32, i: u32, size: u32) -> vec2<u32> {
  if (along_depth) {
    return vec2(4u * (lane % (DEPTH / 4u)), lane / (DEPTH / 4u) + i * (4u * THREADS / DEPTH));
  }
  return vec2(lane / (size / 4u) + i * (4u * THREADS / size), 4u * (lane % (size / 4u)));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = workgroup_index(group);
  if (index >= params.workgroups) {
    return;
  }
  // Tiles of the same product, and of the same columns, follow each other: they read the same b.
  let last_row = rows() - 1u;
  let last_column = columns() - 1u;
  let row_tiles = last_row / TILE_ROWS + 1u;
  let tiles = row_tiles * (last_column / TILE_COLUMNS + 1u);
  let product = product_at(index / tiles);
  let first_row = index % row_tiles * TILE_ROWS;
  let first_column = index % tiles / row_tiles * TILE_COLUMNS;
  let depth = depth_of(product);

  // Shares of the rows and columns that this thread loads: of its fours where they lie along the depth, within its fours
  // where not. What lies past the last row or column repeats it; no result of it is stored.
  var a_share: array<u32, max(4u, A_FOURS)>;
  for (var i = 0u; i < max(4u, A_FOURS); i++) {
    if (A_ALONG_DEPTH) {
      a_share[i] = a_at_row(product, min(first_row + place(true, lane, i, TILE_ROWS).y, last_row));
    } else {
      a_share[i] = a_at_row(product, min(first_row + place(false, lane, 0u, TILE_ROWS).y + i, rows() - WIDTH));
    }
  }
  if (!A_ALONG_DEPTH && lane < TILE_ROWS / 4u) {
    row_share[lane] = select(vec4(a_share[0]), vec4(a_share[0], a_share[1], a_share[2], a_share[3]), WIDTH == 1u);
  }
  var b_share: array<u32, max(4u, B_FOURS)>;
  for (var i = 0u; i < max(4u, B_FOURS); i++) {
    if (B_ALONG_DEPTH) {
      b_share[i] = b_at_column(product, min(first_column + place(true, lane, i, TILE_COLUMNS).y, last_column));
    } else {
      let c = first_column + place(false, lane, 0u, TILE_COLUMNS).y + i;
      b_share[i] = b_at_column(product, min(c, columns() - WIDTH));
    }
  }
  var sum: array<array<vec4<f32>, COLUMNS>, 4u * ROWS>;
  for (var i = 0u; i < 4u * ROWS; i++) {
    for (var j = 0u; j < COLUMNS; j++) {
      sum[i][j] = vec4<f32>();
    }
  }

  // What is loaded at a turn is multiplied at the next, so that the loads' time passes under the products before.
  var a: array<vec4<f32>, A_FOURS>;
  var b: array<vec4<f32>, B_FOURS>;
  for (var k0 = 0u; ; k0 += DEPTH) {
    let more = k0 < depth;
    if (more) {
      if (k0 % THREADS == 0u) {
        var next = vec2(NO_TAP, 0u);
        if (k0 + lane < depth) {
          next = term(product, k0 + lane);
        }
        terms[lane] = next;
        workgroupBarrier();
      }
      // All is loaded before any of it is used, and what is not there from the start of the buffer instead, so that no
      // load waits for another. Weights of taps that padding clips may be anything, also not a number.
      let soon = k0 % THREADS;
      for (var i = 0u; i < A_FOURS; i++) {
        let first = place(A_ALONG_DEPTH, lane, i, TILE_ROWS);
        for (var q = 0u; q < 4u; q += WIDTH) {
          let at = terms[soon + first.x + select(0u, q, A_ALONG_DEPTH)].x;
          let row = a_share[select(q, i, A_ALONG_DEPTH)];
          let there = at != NO_TAP && (A_ALONG_DEPTH || row != NO_TAP);
          a[i] = with_unit(a[i], q, select(Unit(), load_a(select(0u, at + row, there)), there));
        }
      }
      for (var i = 0u; i < B_FOURS; i++) {
        let first = place(B_ALONG_DEPTH, lane, i, TILE_COLUMNS);
        for (var q = 0u; q < 4u; q += WIDTH) {
          let at = terms[soon + first.x + select(0u, q, B_ALONG_DEPTH)];
          let column = b_share[select(q, i, B_ALONG_DEPTH)];
          let there = at.x != NO_TAP;
          b[i] = with_unit(b[i], q, select(Unit(), load_b(select(0u, at.y + column, there)), there));
        }
      }
    }
    if (k0 > 0u) {
      for (var k = 0u; k < DEPTH; k++) {
        var columns: array<vec4<f32>, COLUMNS>;
        for (var j = 0u; j < COLUMNS; j++) {
          columns[j] = tile_b[k][j * THREAD_COLUMNS + lane % THREAD_COLUMNS];
        }
        for (var i = 0u; i < ROWS; i++) {
          let rows = tile_a[k][i * THREAD_ROWS + lane / THREAD_COLUMNS];
          for (var j = 0u; j < COLUMNS; j++) {
            sum[4u * i][j] += rows.x * columns[j];
            sum[4u * i + 1u][j] += rows.y * columns[j];
            sum[4u * i + 2u][j] += rows.z * columns[j];
            sum[4u * i + 3u][j] += rows.w * columns[j];
          }
        }
      }
    }
    if (!more) {
      break;
    }
    workgroupBarrier();
    for (var i = 0u; i < A_FOURS; i++) {
      let first = place(A_ALONG_DEPTH, lane, i, TILE_ROWS);
      if (A_ALONG_DEPTH) {
        for (var q = 0u; q < 4u; q++) {
          tile_a[first.x + q][first.y / 4u][first.y % 4u] = a[i][q];
        }
      } else {
        tile_a[first.x][first.y / 4u] = a[i];
      }
    }
    for (var i = 0u; i < B_FOURS; i++) {
      let first = place(B_ALONG_DEPTH, lane, i, TILE_COLUMNS);
      if (B_ALONG_DEPTH) {
        for (var q = 0u; q < 4u; q++) {
          tile_b[first.x + q][first.y / 4u][first.y % 4u] = b[i][q];
        }
      } else {
        tile_b[first.x][first.y / 4u] = b[i];
      }
    }
    workgroupBarrier();
  }

  // Where this thread's rows go, NO_TAP past the last one; and which of them a has nothing of: their results are 0,
  // also where b is not finite.
  var row_at: array<u32, 4u * ROWS>;
  var empty: array<bool, 4u * ROWS>;
  for (var i = 0u; i < 4u * ROWS; i++) {
    let r = first_row + 4u * (i / 4u * THREAD_ROWS + lane / THREAD_COLUMNS) + i % 4u;
    row_at[i] = select(NO_TAP, result_at_row(product, r), r <= last_row);
    empty[i] = !A_ALONG_DEPTH && row_share[i / 4u * THREAD_ROWS + lane / THREAD_COLUMNS][i % 4u] == NO_TAP;
  }
  for (var j = 0u; j < COLUMNS; j++) {
    for (var l = 0u; l < 4u; l++) {
      let c = first_column + 4u * (j * THREAD_COLUMNS + lane % THREAD_COLUMNS) + l;
      if (c <= last_column) {
        let column_at = result_at_column(product, c);
        let more = addend(product, c);
        for (var i = 0u; i < 4u * ROWS; i++) {
          if (row_at[i] != NO_TAP) {
            store(row_at[i] + column_at, select(sum[i][j][l], 0.0, empty[i]) + more);
          }
        }
      }
    }
  }
}
