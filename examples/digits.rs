//! Runs the committed Keras model on the best adapter and compares with Keras's own predictions.
fn main() {}
