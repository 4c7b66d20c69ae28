// The sparse index in one buffer: [rows + 1] first entries of the rows, from forward_0; [entries] pairs of input offset
// (or NO_TAP) and row, from forward_1; [inputs + 1] first readers of the input elements, from starts_0; [readers] their
// entries, from inverse_0. A row is a cell; an entry's weights are its filters.

// Offset within an output sample of filter f of a row.
fn row_offset(row: u32, f: u32) -> u32 {
  let filter_index = row % params.groups * params.group_filters + params.first_filter + f;
  return row / params.groups * params.y_location + filter_index * params.y_filter;
}
