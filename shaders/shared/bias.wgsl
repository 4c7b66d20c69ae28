// The bias of a cell's filter f. A bias per location lies as an output sample does; a shared bias has one element for
// each filter. The kernel declares `b`.
#import shared/cell

fn bias_of(cell: Cell, f: u32) -> f32 {
  return b[params.b_base + cell.p * params.b_location + filter_of(cell.g, f) * params.b_filter];
}
