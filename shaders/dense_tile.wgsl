// The tile of the dense products: 8x8 threads compute 32x32 results, 4x4 each, 16 terms of the sums at a time.
const TILE = 32u;
const DEPTH = 16u;

var<workgroup> tile_a: array<vec4<f32>, 128>;  // [DEPTH][TILE / 4]: rows of results in fours
var<workgroup> tile_b: array<vec4<f32>, 128>;  // [DEPTH][TILE / 4]: columns of results in fours
var<private> sum: array<vec4<f32>, 4>;         // [row of this thread's four][its four columns]

// Adds the products of one pair of tiles to this thread's sums.
fn multiply_tiles(row: u32, column: u32) {
  for (var k = 0u; k < DEPTH; k++) {
    let a = tile_a[k * 8u + row];
    let b = tile_b[k * 8u + column];
    sum[0] += a.x * b;
    sum[1] += a.y * b;
    sum[2] += a.z * b;
    sum[3] += a.w * b;
  }
}

// Offset within an output sample of a column of the dense matrix: the columns are [cells][filters].
fn column_offset(column: u32) -> u32 {
  let cell = params.first_cell + column / params.filters;
  let f = cell % params.groups * params.group_filters + params.first_filter + column % params.filters;
  return cell / params.groups * params.y_location + f * params.y_filter;
}
