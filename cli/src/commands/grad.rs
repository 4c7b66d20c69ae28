//! `locally grad`: backward for the loss Σ y·dy.

use crate::args::{Common, Grad};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::{arrays, chain, device, output};
use locally_connected::keras::npy;
use locally_connected::network::{Network, NetworkGradients, NetworkOptions};
use pollster::block_on;

pub(crate) fn grad(common: &Common, args: &Grad) -> Result<(), Failure> {
    output::check_destination(&args.output)?;
    let progress = Progress::start(common.quiet, "reading the model");
    let model = chain::open(&args.chain.model)?;
    // Of a model that runs, these are the layers with weights.
    let single = args.chain.layer.is_some() || model.locals().count() == 1;
    let (input_shape, output_shape) = chain::shapes(chain::layers(&model, args.chain.layer.as_deref())?);
    let input = arrays::read_samples(&args.input, "the input", &input_shape, None)?;
    let batch = input.shape.first().copied();
    let grad_output = arrays::read_samples(&args.grad_output, "the gradient of the output", &output_shape, batch)?;

    progress.set("opening the device");
    let gpu = device::open(common)?;
    let options = NetworkOptions {
        implementation: args.chain.implementation.implementation(),
        layer: args.chain.layer.clone(),
        ..Default::default()
    };
    progress.set("sending the weights");
    let network = block_on(Network::new(&gpu, &model, &options))?;
    drop(model);
    progress.set(format!("running {} samples", batch.unwrap_or(0)));
    let gradients = block_on(network.backward(&input.values, &grad_output.values))?;
    progress.set("writing");
    Ok(npy::write_npz(&args.output, &named(&gradients, &input.shape, single))?)
}

/// The arrays under the names of the contract: those of a `single` layer without its name in front.
fn named<'a>(
    gradients: &'a NetworkGradients,
    input_shape: &[usize],
    single: bool,
) -> Vec<(String, Vec<usize>, &'a [f32])> {
    let mut arrays = vec![("input".to_owned(), input_shape.to_vec(), gradients.input.as_slice())];
    for layer in &gradients.layers {
        let name = |what: &str| if single { what.to_owned() } else { format!("{}/{what}", layer.name) };
        arrays.push((name("kernel"), layer.kernel_shape.clone(), layer.kernel.as_slice()));
        if let Some(shape) = &layer.bias_shape {
            arrays.push((name("bias"), shape.clone(), layer.bias.as_slice()));
        }
    }
    arrays
}
