// A cell is a location p of a group g, number p * groups + g of the layer's; its weights are [window][filters]. Where
// locations share weights, each group has one set of them, and a dispatch has those of cell_groups groups.
struct Cell {
  p: u32,
  g: u32,
}

fn cell_at(number: u32) -> Cell {
  return Cell(number / params.cell_groups, params.first_group + number % params.cell_groups);
}

// The number of a cell's weights within the dispatch's chunk, counted in cells. For cells of another chunk the number
// wraps around to params.weight_cells or more.
fn weights_of(p: u32, g: u32) -> u32 {
  return p * params.w_location + g - params.w_first;
}

// The number among all of the layer's filters that filter f of group g in this dispatch has.
fn filter_of(g: u32, f: u32) -> u32 {
  return g * params.group_filters + params.first_filter + f;
}

// Where filter f of a cell lies in an output sample.
fn output_of(cell: Cell, f: u32) -> u32 {
  return cell.p * params.y_location + filter_of(cell.g, f) * params.y_filter;
}
