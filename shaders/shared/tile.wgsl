// The main of all kernels that compute products by tiles in workgroup memory: for each product of the kernel,
//   result[row, column] = sum over k of a[row, k] * b[k, column]
// THREAD_ROWS x THREAD_COLUMNS threads compute a tile, each of them ROWS x COLUMNS squares of four by four, from DEPTH
// terms of the sums at a time. Where SLICES is over 1, that many sets of threads share one tile's terms, DEPTH terms
// each in turn, and add up their sums in the end: for products that are too few to keep a device busy. The kernel says:
// - where its operands lie. The index of a[row, k] is the sum of a share that k decides (`term`) and one that the row decides
//   (`a_at_row`), that of b[k, column] likewise. NO_TAP stands for what doesn't exist;
// - whether elements that are neighbours in memory follow each other along k or along rows and columns (A_ALONG_DEPTH,
//   B_ALONG_DEPTH). A thread loads fours of neighbours, A_WIDTH or B_WIDTH of them at once; `with_a` and `with_b` put what is loaded
//   into a four;
// - whether b has holes (B_HOLES), whose products count nothing, whatever a has;
// - where a result goes (`result_at_row` plus `result_at_column`), and how RESULT_WIDTH neighbouring columns are stored (`store`).
// tile_output.wgsl, tile_grad_input.wgsl or tile_grad_weights.wgsl says what all products of a kind share, and how a sum
// becomes a result (`addend`, `finish`, `finish_stored`).
#import shared/dispatch
#import shared/tile_load

// What B_HOLES says: b has none; its zeroes are holes, as in a dense matrix; or it has elements within a band only (`band`).
const NO_HOLES = 0u;
const ZEROES = 1u;
const BAND = 2u;

// What a term that isn't there has in place of a 1, or of a place in the band: no place is as far from its beginning.
const NO_TERM = select(0u, 0x80000000u, B_HOLES == BAND);
// What workgroup memory holds outside the band, the bits of -0. Within the band a zero is +0.
const HOLE = 0x80000000u;

const SLICE_THREADS = THREAD_ROWS * THREAD_COLUMNS;
const STEP = DEPTH * SLICES;
const TILE_ROWS = 4u * ROWS * THREAD_ROWS;
const TILE_COLUMNS = 4u * COLUMNS * THREAD_COLUMNS;

// A tile's elements by k in fours, by k within its four, and by rows or columns in fours. A thread reads four values of
// k in turn, which are constants here. Behind each four of k there are two unused vectors, so that neighbouring fours
// lie in different memory banks.
struct RowFours {
  rows: array<array<vec4<f32>, TILE_ROWS / 4u>, 4u>,
  apart: array<vec4<f32>, 2u>,
}

struct ColumnFours {
  columns: array<array<vec4<f32>, TILE_COLUMNS / 4u>, 4u>,
  apart: array<vec4<f32>, 2u>,
}

var<workgroup> tile_a: array<RowFours, STEP / 4u>;
var<workgroup> tile_b: array<ColumnFours, STEP / 4u>;
// The terms of the next steps: their shares of the index into a and into b, in units of their widths, and 1. All are
// zero for a term that a doesn't have, whatever b has, and past the last term: such a term is loaded like others, but
// not kept. Where b is a band, its place there is in place of the 1, or NO_TERM.
var<workgroup> terms: array<vec3<u32>, THREADS>;
// Where rows don't lie along the depth: 0 for rows that a doesn't have.
var<workgroup> row_there: array<vec4<u32>, TILE_ROWS / 4u>;
#if B_HOLES == BAND
// 1 from the first element of a on that isn't finite. From then on no product is taken outside the band, where it would be NaN.
var<workgroup> not_finite: atomic<u32>;
#end

fn term_of(product: Product, k: u32, depth: u32) -> vec3<u32> {
  var share = vec2(NO_TAP, 0u);
  var mark = 1u;
  if (k < depth) {
    share = term(product, k);
#if B_HOLES == BAND
    mark = band_place(product, k);
#end
  }
  return select(vec3(0u, 0u, NO_TERM), vec3(share / vec2(A_WIDTH, B_WIDTH), mark), share.x != NO_TAP);
}

// Where b is a dense matrix, its zeroes are no weights: an a that isn't finite counts nothing there, as in Keras.
fn times(a: f32, b: vec4<f32>) -> vec4<f32> {
  if (B_HOLES == ZEROES) {
    // Not by `!=`, which naga makes false for NaN.
    return select(a * b, vec4<f32>(0.0), b == vec4<f32>(0.0));
  }
  return a * b;
}

// Where a thread's four number i of rows, and number j of columns, begins in a tile.
fn own_rows(lane: u32, i: u32) -> u32 {
  return 4u * (i * THREAD_ROWS + lane / THREAD_COLUMNS);
}

fn own_columns(lane: u32, j: u32) -> u32 {
  return 4u * (j * THREAD_COLUMNS + lane % THREAD_COLUMNS);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let index = workgroup_index(group);
  if (index >= params.workgroups) {
    return;
  }
  // Tiles of the same product and columns follow each other, since they read the same b.
  let last_row = rows() - 1u;
  let last_column = columns() - 1u;
  let row_tiles = last_row / TILE_ROWS + 1u;
  let tiles = row_tiles * (last_column / TILE_COLUMNS + 1u);
    let first_row = index % row_tiles * TILE_ROWS;
  let first_column = index % tiles / row_tiles * TILE_COLUMNS;
  let product = product_at(index / tiles, first_column);
  let depth = depth_of(product);
  let slice = thread / SLICE_THREADS;
  let lane = thread % SLICE_THREADS;
  let first_four = slice * (DEPTH / 4u);

  // Rows and columns past the last repeat it; their results aren't stored.
  var own: Own;
  own.a = place(A_ALONG_DEPTH, lane, TILE_ROWS);
  own.b = place(B_ALONG_DEPTH, lane, TILE_COLUMNS);
  own.a.k_four += first_four;
  own.b.k_four += first_four;
  var there: vec4<u32>;
  #unroll for (var i = 0u; i < A_SHARES; i++) {
    if (A_ALONG_DEPTH) {
      own.a_share[i] = a_at_row(product, min(first_row + own.a.side + i * SIDE_STEP, last_row)) / A_WIDTH;
    } else {
      let share = a_at_row(product, min(first_row + own.a.side + i, rows() - A_WIDTH));
      own.a_share[i] = select(0u, share / A_WIDTH, share != NO_TAP);
      there[i % 4u] = u32(share != NO_TAP);
    }
  }
  #unroll for (var i = 0u; i < B_SHARES; i++) {
    if (B_ALONG_DEPTH) {
      own.b_share[i] = b_at_column(product, min(first_column + own.b.side + i * SIDE_STEP, last_column)) / B_WIDTH;
    } else {
      own.b_share[i] = b_at_column(product, min(first_column + own.b.side + i, columns() - B_WIDTH)) / B_WIDTH;
    }
  }
  if (!A_ALONG_DEPTH && thread < TILE_ROWS / 4u) {
    row_there[lane] = select(vec4(there.x), there, A_WIDTH == 1u);
  }
  var sum: array<array<vec4<f32>, COLUMNS>, 4u * ROWS>;
  #unroll for (var i = 0u; i < 4u * ROWS; i++) {
    #unroll for (var j = 0u; j < COLUMNS; j++) {
      sum[i][j] = vec4<f32>(0.0);
    }
  }

  terms[thread] = term_of(product, thread, depth);
#if B_HOLES == BAND
  if (thread == 0u) {
    atomicStore(&not_finite, 0u);
  }
#end
  workgroupBarrier();
  // What a step loads, the next step multiplies. So loads take their time while the products before them are computed.
  var loaded = load(own, slice * DEPTH);
  for (var k0 = 0u; k0 < depth; k0 += STEP) {
    workgroupBarrier();
    keep(own, loaded);
    let next = k0 + STEP;
    if (next % THREADS == 0u) {
      terms[thread] = term_of(product, next + thread, depth);
    }
    workgroupBarrier();
    loaded = load(own, next + slice * DEPTH);
#if B_HOLES == BAND
    if (atomicLoad(&not_finite) == 1u) {
      for (var k = 0u; k < DEPTH; k++) {
        #unroll for (var j = 0u; j < COLUMNS; j++) {
          let column = tile_b[first_four + k / 4u].columns[k % 4u][j * THREAD_COLUMNS + lane % THREAD_COLUMNS];
          let there = bitcast<vec4<u32>>(column) != vec4(HOLE);
          #unroll for (var i = 0u; i < ROWS; i++) {
            let row = tile_a[first_four + k / 4u].rows[k % 4u][i * THREAD_ROWS + lane / THREAD_COLUMNS];
            #unroll for (var r = 0u; r < 4u; r++) {
              sum[4u * i + r][j] += select(vec4<f32>(0.0), row[r] * column, there);
            }
          }
        }
      }
    } else {
#end
    for (var k = 0u; k < DEPTH / 4u; k++) {
      #unroll for (var q = 0u; q < 4u; q++) {
        var columns: array<vec4<f32>, COLUMNS>;
        #unroll for (var j = 0u; j < COLUMNS; j++) {
          columns[j] = tile_b[first_four + k].columns[q][j * THREAD_COLUMNS + lane % THREAD_COLUMNS];
        }
        var rows: array<vec4<f32>, ROWS>;
        #unroll for (var i = 0u; i < ROWS; i++) {
          rows[i] = tile_a[first_four + k].rows[q][i * THREAD_ROWS + lane / THREAD_COLUMNS];
        }
        #unroll for (var i = 0u; i < ROWS; i++) {
          let row = rows[i];
          #unroll for (var j = 0u; j < COLUMNS; j++) {
            sum[4u * i][j] += times(row.x, columns[j]);
            sum[4u * i + 1u][j] += times(row.y, columns[j]);
            sum[4u * i + 2u][j] += times(row.z, columns[j]);
            sum[4u * i + 3u][j] += times(row.w, columns[j]);
          }
        }
      }
    }
#if B_HOLES == BAND
    }
#end
  }

  // The slices' sums are added in their order, a four of each thread at a time, in the memory of the columns' tile.
  if (SLICES > 1u) {
    let k = lane / TILE_COLUMNS;
    let q = lane / (TILE_COLUMNS / 4u) % 4u;
    let column = lane % (TILE_COLUMNS / 4u);
    #unroll for (var i = 0u; i < 4u * ROWS; i++) {
      #unroll for (var j = 0u; j < COLUMNS; j++) {
        workgroupBarrier();
        if (slice > 0u) {
          tile_b[first_four + k].columns[q][column] = sum[i][j];
        }
        workgroupBarrier();
        if (slice == 0u) {
          #unroll for (var s = 1u; s < SLICES; s++) {
            sum[i][j] += tile_b[s * (DEPTH / 4u) + k].columns[q][column];
          }
        }
      }
    }
    if (slice > 0u) {
      return;
    }
  }

  // Rows that a doesn't have get sums of 0, even where b isn't finite.
  if (!A_ALONG_DEPTH) {
    #unroll for (var i = 0u; i < 4u * ROWS; i++) {
      let there = row_there[i / 4u * THREAD_ROWS + lane / THREAD_COLUMNS][i % 4u];
      #unroll for (var j = 0u; j < COLUMNS; j++) {
        sum[i][j] = select(vec4<f32>(0.0), sum[i][j], there == 1u);
      }
    }
  }
  if (has_addend()) {
    #unroll for (var j = 0u; j < COLUMNS; j++) {
      let c = first_column + own_columns(lane, j);
      var more: vec4<f32>;
      #unroll for (var l = 0u; l < 4u; l++) {
        more[l] = addend(product, min(c + l, last_column));
      }
      #unroll for (var i = 0u; i < 4u * ROWS; i++) {
        sum[i][j] += more;
      }
    }
  }
  if (has_finish()) {
    #unroll for (var i = 0u; i < 4u * ROWS; i++) {
      #unroll for (var j = 0u; j < COLUMNS; j++) {
        sum[i][j] = finish(sum[i][j]);
      }
    }
  }
  var row_at: array<u32, 4u * ROWS>;  // NO_TAP past the last row
  #unroll for (var i = 0u; i < 4u * ROWS; i++) {
    let r = first_row + own_rows(lane, i / 4u) + i % 4u;
    row_at[i] = select(NO_TAP, result_at_row(product, r), r <= last_row);
  }
  #unroll for (var j = 0u; j < COLUMNS; j++) {
    #unroll for (var q = 0u; q < 4u; q += RESULT_WIDTH) {
      let c = first_column + own_columns(lane, j) + q;
      if (c <= last_column) {
        let column_at = result_at_column(product, c);
        #unroll for (var i = 0u; i < 4u * ROWS; i++) {
          if (row_at[i] != NO_TAP) {
            store((row_at[i] + column_at) / RESULT_WIDTH, sum[i][j], q);
          }
        }
      }
    }
  }
  if (!is_finished()) {
    // The results that aren't cheap to activate, in ordinary loops: see is_cheap.
    for (var i = 0u; i < 4u * ROWS; i++) {
      let r = first_row + own_rows(lane, i / 4u) + i % 4u;
      for (var j = 0u; j < 4u * COLUMNS; j += RESULT_WIDTH) {
        let c = first_column + own_columns(lane, j / 4u) + j % 4u;
        if (r <= last_row && c <= last_column) {
          finish_stored((result_at_row(product, r) + result_at_column(product, c)) / RESULT_WIDTH);
        }
      }
    }
  }
}
