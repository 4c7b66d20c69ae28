//! One layer on the host's own threads: no device, no driver. `cargo run --features cpu --example host_threads`.
//!
//! The executor runs a program, which names its buffers; here it is a layer's forward pass.

#![forbid(unsafe_code)]

use locally_connected::cpu::{Executor, Threads, Weights};
use locally_connected::model::{layer_forward, layer_names};
use locally_connected::{Activation, Config, Geometry, Result};
use std::sync::Arc;

fn main() -> Result<()> {
    // Two images of 4×4 with one channel; windows of 2×2, three filters: 3×3 locations with weights of their own.
    let layer = Arc::new(Geometry::new(&Config::new(3, [2, 2]).activation(Activation::RELU), &[4, 4, 1])?);
    let program = layer_forward(&layer, false);
    for buffer in &program.buffers {
        println!("{}: {} values", buffer.name, buffer.shape.elements(2));
    }
    let mut weights = Weights::new();
    // Canonical order: location, tap and channel, filter.
    weights.insert(layer_names::WEIGHTS, vec![0.25; layer.weights() as usize]);
    weights.insert(layer_names::BIAS, vec![-1.0; layer.biases() as usize]);

    let executor = Executor::new(Threads::current_pool());
    let mut bound = executor.bind(&program, 2)?;
    let x: Vec<f32> = (0..32).map(|i| i as f32 / 8.0).collect();
    let mut y = vec![0.0; 2 * layer.outputs() as usize];
    bound.run(&weights, &[(layer_names::INPUT, x.as_slice())], &mut [(layer_names::OUTPUT, y.as_mut_slice())])?;
    let last = &y[y.len() - 3..];
    println!("the last location of the second image: {last:?}");
    // The mean of four pixels, less the bias.
    assert_eq!(last, [28.5 / 8.0 - 1.0; 3]);
    Ok(())
}
