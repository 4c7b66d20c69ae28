// A dense kernel has one product only.
#import shared/cell

struct Product {
  index: u32,
}

fn product_at(index: u32, first_column: u32) -> Product {
  return Product(index);
}

fn cell_of_column(column: u32) -> Cell {
  return cell_at(params.first_cell + column / params.filters);
}

// Where a column of the dense matrix lies in an output sample: the columns are [cells][filters].
fn column_offset(column: u32) -> u32 {
  return output_of(cell_of_column(column), column % params.filters);
}
