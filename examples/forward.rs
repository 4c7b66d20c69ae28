//! One layer on a device of one's own: Keras's weights in, an output and gradients out. `cargo run --features headless --example
//! forward`.
//!
//! The layer is `LocallyConnected1D(2, 2)` on (4, 1): three locations, each with a window of two inputs and two filters of its
//! own.

#![forbid(unsafe_code)]

use locally_connected::headless::Gpu;
use locally_connected::{Config, KerasLayout, LocallyConnected, Result};

fn main() -> Result<()> {
    pollster::block_on(async {
        let gpu = Gpu::new().await?;
        println!("on {}", gpu.adapter().get_info().name);
        let layer = LocallyConnected::new(gpu.context(), &Config::new(2, [2]), &[4, 1]).await?;
        // As `layer.get_weights()` gives them in Keras: (locations, taps · channels, filters), and a bias per location.
        let weights = [[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0], [5.0, 50.0], [6.0, 60.0]];
        layer.write_weights(weights.as_flattened(), KerasLayout::Implementation1).await?;
        layer.write_bias(&[0.0, 0.5, 0.0, 0.5, 0.0, 0.5]).await?;

        let x = [1.0, 2.0, 3.0, 4.0];
        let y = gpu.forward(&layer, &x).await?;
        println!("x = {x:?}\ny = {y:?}");
        assert_eq!(y, [5.0, 50.5, 18.0, 180.5, 39.0, 390.5]);

        // Of the sum of all outputs.
        let gradients = gpu.backward(&layer, &x, &[1.0; 6]).await?;
        println!("by x {:?}", gradients.input);
        assert_eq!(gradients.input, [11.0, 22.0 + 33.0, 44.0 + 55.0, 66.0]);
        assert_eq!(gradients.bias, [1.0; 6]);
        Ok(())
    })
}
