// The main of every product by tiles in workgroup memory: for each product of a kernel,
//   result[row, column] = sum over k of a[row, k] * b[k, column]
// THREAD_ROWS x THREAD_COLUMNS threads compute a tile, each ROWS x COLUMNS fours by fours, DEPTH terms of the sums at a
// time. The kernel says where its operands lie, as a share of the index by k and one by row or
// column, NO_TAP for what is not there; along which of the two neighbours lie (A_ALONG_DEPTH, B_ALONG_DEPTH), so that
// threads load them side by side; and what becomes of a result.
const DEPTH = 16u;
const THREADS = THREAD_ROWS * THREAD_COLUMNS;
const TILE_ROWS = 4u * ROWS * THREAD_ROWS;
const TILE_COLUMNS = 4u * COLUMNS * THREAD_COLUMNS;
// A vector more than there are, so that columns of the tiles lie in different banks.
const A_STRIDE = TILE_ROWS / 4u + 1u;
const B_STRIDE = TILE_COLUMNS / 4u + 1u;

var<workgroup> tile_a: array<vec4<f32>, DEPTH * A_STRIDE>;  // [DEPTH][rows in fours]
var<workgroup> tile_b: array<vec4<f32>, DEPTH * B_STRIDE>;  // [DEPTH][columns in fours]
var<workgroup> live: array<u32, DEPTH>;                     // 0: a has nothing at this k, whatever b has

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = workgroup_index(group);
  if (index >= params.workgroups) {
    return;
  }
  // Tiles of the same product, and of the same columns, follow each other: they read the same b.
  let row_tiles = (rows() + TILE_ROWS - 1u) / TILE_ROWS;
  let tiles = row_tiles * ((columns() + TILE_COLUMNS - 1u) / TILE_COLUMNS);
  let product = product_at(index / tiles);
  let first_row = index % row_tiles * TILE_ROWS;
  let first_column = index % tiles / row_tiles * TILE_COLUMNS;
  let depth = depth_of(product);

  // Where this thread loads: one k of several rows, or one row of several k; columns likewise.
  let row = lane % TILE_ROWS;
  let column = lane % TILE_COLUMNS;
  let k_along = lane % DEPTH;
  var a_at = NO_TAP;
  if (!A_ALONG_DEPTH && first_row + row < rows()) {
    a_at = a_at_row(product, first_row + row);
  }
  var b_at = NO_TAP;
  if (!B_ALONG_DEPTH && first_column + column < columns()) {
    b_at = b_at_column(product, first_column + column);
  }
  var sum: array<array<vec4<f32>, COLUMNS>, 4u * ROWS>;
  for (var i = 0u; i < 4u * ROWS; i++) {
    for (var j = 0u; j < COLUMNS; j++) {
      sum[i][j] = vec4<f32>();
    }
  }

  for (var k0 = 0u; k0 < depth; k0 += DEPTH) {
    workgroupBarrier();
    if (A_ALONG_DEPTH) {
      a_at = NO_TAP;
      if (k0 + k_along < depth) {
        a_at = a_at_depth(product, k0 + k_along);
      }
      live[k_along] = u32(a_at != NO_TAP);
      for (var i = 0u; i < TILE_ROWS * DEPTH / THREADS; i++) {
        let r = lane / DEPTH + i * (THREADS / DEPTH);
        var value = 0.0;
        if (a_at != NO_TAP && first_row + r < rows()) {
          value = load_a(a_at + a_at_row(product, first_row + r));
        }
        tile_a[k_along * A_STRIDE + r / 4u][r % 4u] = value;
      }
    } else {
      for (var i = 0u; i < TILE_ROWS * DEPTH / THREADS; i++) {
        let k = lane / TILE_ROWS + i * (THREADS / TILE_ROWS);
        var value = 0.0;
        if (a_at != NO_TAP && k0 + k < depth) {
          value = load_a(a_at + a_at_depth(product, k0 + k));
        }
        tile_a[k * A_STRIDE + row / 4u][row % 4u] = value;
      }
    }
    if (B_ALONG_DEPTH) {
      b_at = NO_TAP;
      if (k0 + k_along < depth) {
        b_at = b_at_depth(product, k0 + k_along);
      }
      for (var i = 0u; i < TILE_COLUMNS * DEPTH / THREADS; i++) {
        let c = lane / DEPTH + i * (THREADS / DEPTH);
        var value = 0.0;
        if (b_at != NO_TAP && first_column + c < columns()) {
          value = load_b(b_at + b_at_column(product, first_column + c));
        }
        tile_b[k_along * B_STRIDE + c / 4u][c % 4u] = value;
      }
    } else {
      for (var i = 0u; i < TILE_COLUMNS * DEPTH / THREADS; i++) {
        let k = lane / TILE_COLUMNS + i * (THREADS / TILE_COLUMNS);
        var value = 0.0;
        if (b_at != NO_TAP && k0 + k < depth) {
          value = load_b(b_at + b_at_depth(product, k0 + k));
        }
        tile_b[k * B_STRIDE + column / 4u][column % 4u] = value;
      }
    }
    workgroupBarrier();
    for (var k = 0u; k < DEPTH; k++) {
      // Weights of taps that padding clips may be anything, also not a number.
      if (!A_ALONG_DEPTH || live[k] == 1u) {
        var b: array<vec4<f32>, COLUMNS>;
        for (var j = 0u; j < COLUMNS; j++) {
          b[j] = tile_b[k * B_STRIDE + j * THREAD_COLUMNS + lane % THREAD_COLUMNS];
        }
        for (var i = 0u; i < ROWS; i++) {
          let a = tile_a[k * A_STRIDE + i * THREAD_ROWS + lane / THREAD_COLUMNS];
          for (var j = 0u; j < COLUMNS; j++) {
            sum[4u * i][j] += a.x * b[j];
            sum[4u * i + 1u][j] += a.y * b[j];
            sum[4u * i + 2u][j] += a.z * b[j];
            sum[4u * i + 3u][j] += a.w * b[j];
          }
        }
      }
    }
  }

  for (var i = 0u; i < 4u * ROWS; i++) {
    let r = first_row + 4u * (i / 4u * THREAD_ROWS + lane / THREAD_COLUMNS) + i % 4u;
    for (var j = 0u; j < COLUMNS; j++) {
      let c = first_column + 4u * (j * THREAD_COLUMNS + lane % THREAD_COLUMNS);
      for (var l = 0u; l < 4u; l++) {
        if (r < rows() && c + l < columns()) {
          store(product, r, c + l, sum[i][j][l]);
        }
      }
    }
  }
}
