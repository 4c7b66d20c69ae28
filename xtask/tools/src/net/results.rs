//! What the small layers give on this machine's adapter, as hashes of the bits.

use crate::layers::Layer;
use crate::net::{Net, Result, STRATEGIES};
use crate::random::random;
use locally_connected::headless::Gpu;
use locally_connected::{Context, DeviceProfile, Error, Implementation, LocallyConnected};
use std::hash::{DefaultHasher, Hasher};

pub(crate) fn add(net: &mut Net, layers: &[Layer]) -> Result<()> {
    pollster::block_on(async {
        let gpu = Gpu::new().await?;
        for (strategy_name, strategy) in STRATEGIES {
            let profile = DeviceProfile { strategy, ..gpu.context().profile().clone() };
            let unlimited = Context::with_profile(gpu.context().device(), gpu.context().queue(), profile);
            for layer in layers {
                // A context has the pipelines of all its layers, so one is shared where none is cut.
                let context = match layer.most_binding {
                    None => unlimited.clone(),
                    Some(_) => {
                        let profile = layer.within(unlimited.profile());
                        Context::with_profile(unlimited.device(), unlimited.queue(), profile)
                    }
                };
                for implementation in Implementation::ALL {
                    let text = match run(&gpu, &context, layer, implementation).await {
                        Ok(text) => text,
                        Err(error @ (Error::Limit { .. } | Error::OverBudget { .. } | Error::Unsupported { .. })) => {
                            format!("refused: {error}")
                        }
                        Err(error) => return Err(error.into()),
                    };
                    net.insert(format!("result {} {strategy_name} {}", layer.name, implementation.name()), text);
                }
            }
        }
        Ok(())
    })
}

async fn run(
    gpu: &Gpu,
    context: &Context,
    layer: &Layer,
    implementation: Implementation,
) -> std::result::Result<String, Error> {
    let geometry = layer.geometry.with_implementation(implementation);
    let batch = u64::from(layer.batch);
    let (x, dy) = (random(1, batch * geometry.inputs()), random(2, batch * geometry.outputs()));
    let (weights, bias) = (random(3, geometry.weights()), random(4, geometry.biases()));
    let layer = LocallyConnected::with_geometry(context, geometry).await?;
    layer.write_canonical(&weights).await?;
    if !bias.is_empty() {
        layer.write_bias(&bias).await?;
    }
    let output = gpu.forward(&layer, &x).await?;
    let gradients = gpu.backward(&layer, &x, &dy).await?;
    let lines = [
        ("output", output),
        ("gradient of input", gradients.input),
        ("gradient of weights", gradients.weights),
        ("gradient of bias", gradients.bias),
    ];
    Ok(lines.map(|(what, values)| format!("{what}: {} values, bits {:016x}\n", values.len(), hash(&values))).concat())
}

/// The same for the same bits as long as the compiler is the same, which is all that a net lasts.
fn hash(values: &[f32]) -> u64 {
    let mut hasher = DefaultHasher::new();
    values.iter().for_each(|value| hasher.write_u32(value.to_bits()));
    hasher.finish()
}
