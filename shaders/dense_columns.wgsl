// The only product of a dense kernel.
struct Product {
  index: u32,
}

fn product_at(index: u32) -> Product {
  return Product(index);
}

// Offset within an output sample of a column of the dense matrix: the columns are [cells][filters].
fn column_offset(column: u32) -> u32 {
  let cell = params.first_cell + column / params.filters;
  let f = cell % params.groups * params.group_filters + params.first_filter + column % params.filters;
  return cell / params.groups * params.y_location + f * params.y_filter;
}
