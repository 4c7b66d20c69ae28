// A cell is a location p of a group g, number p * groups + g of the layer's; its weights are [window][filters]. Where
// locations share their weights, each group has some, and those of a dispatch are of cell_groups groups.
struct Cell {
  p: u32,
  g: u32,
}

fn cell_at(number: u32) -> Cell {
  return Cell(number / params.cell_groups, params.first_group + number % params.cell_groups);
}

// Which of the dispatch's weights are a cell's, counted in cells; those of another chunk wrap around to params.weight_cells and
// above.
fn weights_of(p: u32, g: u32) -> u32 {
  return p * params.w_location + g - params.w_first;
}

// The number among all filters of filter f of a group's in this dispatch.
fn filter_of(g: u32, f: u32) -> u32 {
  return g * params.group_filters + params.first_filter + f;
}

// Where a cell's filter f lies in an output sample.
fn output_of(cell: Cell, f: u32) -> u32 {
  return cell.p * params.y_location + filter_of(cell.g, f) * params.y_filter;
}
