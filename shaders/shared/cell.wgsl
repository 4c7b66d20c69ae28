// A cell is a location p of a group g, number p * groups + g of the layer's; its weights are [window][filters].
struct Cell {
  p: u32,
  g: u32,
}

fn cell_at(number: u32) -> Cell {
  return Cell(number / params.groups, number % params.groups);
}

// The number among all filters of filter f of a group's in this dispatch.
fn filter_of(g: u32, f: u32) -> u32 {
  return g * params.group_filters + params.first_filter + f;
}

// Where a cell's filter f lies in an output sample.
fn output_of(cell: Cell, f: u32) -> u32 {
  return cell.p * params.y_location + filter_of(cell.g, f) * params.y_filter;
}
