// The main of every product by tiles in workgroup memory: for each product of a kernel,
//   result[row, column] = sum over k of a[row, k] * b[k, column]
// THREAD_ROWS x THREAD_COLUMNS threads compute a tile, each ROWS x COLUMNS fours by fours, DEPTH terms of the sums at a
// time. The kernel says where its operands lie, as a share of the index by k (`term`) and one by row or column, NO_TAP
// for what is not there; along which of the two neighbours lie (A_ALONG_DEPTH, B_ALONG_DEPTH), so that a thread loads
// fours of them, WIDTH at once; and where a result goes, in shares too (`result_at_row`, `result_at_column`, `store`).
// tile_output.wgsl or tile_gradient.wgsl says what makes a result of a sum (`addend`, `finish`, `finish_stored`).
const DEPTH = 16u;
const THREADS = THREAD_ROWS * THREAD_COLUMNS;
const TILE_ROWS = 4u * ROWS * THREAD_ROWS;
const TILE_COLUMNS = 4u * COLUMNS * THREAD_COLUMNS;

// By k and by rows or columns in fours; one vector more than there are, so that those of neighbouring k lie in different
// banks.
var<workgroup> tile_a: array<array<vec4<f32>, TILE_ROWS / 4u + 1u>, DEPTH>;
var<workgroup> tile_b: array<array<vec4<f32>, TILE_COLUMNS / 4u + 1u>, DEPTH>;
// The terms of the steps to come: a's share and b's; NO_TAP, 0 where a has nothing, whatever b has.
var<workgroup> terms: array<vec2<u32>, THREADS>;
// Where rows don't lie along the depth, NO_TAP for those that a has nothing of.
var<workgroup> row_share: array<vec4<u32>, TILE_ROWS / 4u>;

// The term's shares; there are none past the last.
fn term_of(product: Product, k: u32, depth: u32) -> vec2<u32> {
  var share = vec2(NO_TAP, 0u);
  if (k < depth) {
    share = term(product, k);
  }
  return share;
}

// Where a thread's four number i of rows begins in a tile, and its four number j of columns.
fn own_rows(lane: u32, i: u32) -> u32 {
  return 4u * (i * THREAD_ROWS + lane / THREAD_COLUMNS);
}

fn own_columns(lane: u32, j: u32) -> u32 {
  return 4u * (j * THREAD_COLUMNS + lane % THREAD_COLUMNS);
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

  // What lies past the last row or column repeats it; no result of it is stored.
  var shares: Shares;
  for (var i = 0u; i < max(4u, A_FOURS); i++) {
    if (A_ALONG_DEPTH) {
      shares.a[i] = a_at_row(product, min(first_row + place(true, lane, i, TILE_ROWS).y, last_row));
    } else {
      let r = first_row + place(false, lane, 0u, TILE_ROWS).y + i;
      shares.a[i] = a_at_row(product, min(r, rows() - WIDTH));
    }
  }
  for (var i = 0u; i < max(4u, B_FOURS); i++) {
    if (B_ALONG_DEPTH) {
      shares.b[i] = b_at_column(product, min(first_column + place(true, lane, i, TILE_COLUMNS).y, last_column));
    } else {
      let c = first_column + place(false, lane, 0u, TILE_COLUMNS).y + i;
      shares.b[i] = b_at_column(product, min(c, columns() - WIDTH));
    }
  }
  if (!A_ALONG_DEPTH && lane < TILE_ROWS / 4u) {
    row_share[lane] = select(vec4(shares.a[0]), vec4(shares.a[0], shares.a[1], shares.a[2], shares.a[3]), WIDTH == 1u);
  }
  var sum: array<array<vec4<f32>, COLUMNS>, 4u * ROWS>;
  for (var i = 0u; i < 4u * ROWS; i++) {
    for (var j = 0u; j < COLUMNS; j++) {
      sum[i][j] = vec4<f32>();
    }
  }

  terms[lane] = term_of(product, lane, depth);
  workgroupBarrier();
  // What is loaded at a step is multiplied at the next, so that the loads' time passes under the products before.
  var loaded = load(shares, 0u, lane);
  for (var k0 = 0u; k0 < depth; k0 += DEPTH) {
    workgroupBarrier();
    keep(loaded, lane);
    let next = k0 + DEPTH;
    if (next % THREADS == 0u) {
      terms[lane] = term_of(product, next + lane, depth);
    }
    workgroupBarrier();
    loaded = load(shares, next, lane);
    for (var k = 0u; k < DEPTH; k++) {
      var columns: array<vec4<f32>, COLUMNS>;
      for (var j = 0u; j < COLUMNS; j++) {
        columns[j] = tile_b[k][j * THREAD_COLUMNS + lane % THREAD_COLUMNS];
      }
      var rows: array<vec4<f32>, ROWS>;
      for (var i = 0u; i < ROWS; i++) {
        rows[i] = tile_a[k][i * THREAD_ROWS + lane / THREAD_COLUMNS];
      }
      for (var i = 0u; i < ROWS; i++) {
        let row = rows[i];
        for (var j = 0u; j < COLUMNS; j++) {
          sum[4u * i][j] += row.x * columns[j];
          sum[4u * i + 1u][j] += row.y * columns[j];
          sum[4u * i + 2u][j] += row.z * columns[j];
          sum[4u * i + 3u][j] += row.w * columns[j];
        }
      }
    }
  }

  // Which rows a has nothing of: their sums are 0, also where b is not finite.
  if (!A_ALONG_DEPTH) {
    for (var i = 0u; i < 4u * ROWS; i++) {
      let share = row_share[i / 4u * THREAD_ROWS + lane / THREAD_COLUMNS][i % 4u];
      for (var j = 0u; j < COLUMNS; j++) {
        sum[i][j] = select(sum[i][j], vec4<f32>(), share == NO_TAP);
      }
    }
  }
  for (var j = 0u; j < COLUMNS; j++) {
    let c = first_column + own_columns(lane, j);
    var more: vec4<f32>;
    for (var l = 0u; l < 4u; l++) {
      more[l] = addend(product, min(c + l, last_column));
    }
    for (var i = 0u; i < 4u * ROWS; i++) {
      sum[i][j] = finish(sum[i][j] + more);
    }
  }
  var row_at: array<u32, 4u * ROWS>;  // NO_TAP past the last row
  for (var i = 0u; i < 4u * ROWS; i++) {
    let r = first_row + own_rows(lane, i / 4u) + i % 4u;
    row_at[i] = select(NO_TAP, result_at_row(product, r), r <= last_row);
  }
  for (var j = 0u; j < COLUMNS; j++) {
    for (var l = 0u; l < 4u; l++) {
      let c = first_column + own_columns(lane, j) + l;
      if (c <= last_column) {
        let column_at = result_at_column(product, c);
        for (var i = 0u; i < 4u * ROWS; i++) {
          if (row_at[i] != NO_TAP) {
            store(row_at[i] + column_at, sum[i][j][l]);
          }
        }
      }
    }
  }
  if (!is_finished()) {
    // The same results, in loops whose ends aren't constants: see is_cheap.
    for (var i = 0u; i < min(4u * ROWS, rows()); i++) {
      let r = first_row + own_rows(lane, i / 4u) + i % 4u;
      for (var j = 0u; j < min(4u * COLUMNS, columns()); j++) {
        let c = first_column + own_columns(lane, j / 4u) + j % 4u;
        if (r <= last_row && c <= last_column) {
          finish_stored(result_at_row(product, r) + result_at_column(product, c));
        }
      }
    }
  }
}
