// The bias of a cell's filter f: one per location lies as the output does, a shared one has only the filter's place. The
// kernel declares `b`.
#import shared/cell

fn bias_of(cell: Cell, f: u32) -> f32 {
  return b[params.b_base + cell.p * params.b_location + filter_of(cell.g, f) * params.b_filter];
}
