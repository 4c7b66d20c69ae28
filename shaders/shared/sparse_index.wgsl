// The sparse index in one buffer. Its rows are cells; its entries are rows of weights, each with the weights of all
// filters. The kernel declares `index`.

// The first entry of a row: [rows + 1], from forward_0.
fn first_entry(row: u32) -> u32 {
  return index[params.forward_0 + row];
}

// Where an entry reads an input sample, or NO_TAP, and the entry's row: [entries] pairs, from forward_1.
fn input_of_entry(e: u32) -> u32 {
  return index[params.forward_1 + 2u * e];
}

fn row_of_entry(e: u32) -> u32 {
  return index[params.forward_1 + 2u * e + 1u];
}

// The first reader of an input element, [inputs + 1], from starts_0; and a reader's entry, [readers], from inverse_0.
fn first_reader(input: u32) -> u32 {
  return index[params.starts_0 + input];
}

fn entry_of_reader(reader: u32) -> u32 {
  return index[params.inverse_0 + reader];
}
