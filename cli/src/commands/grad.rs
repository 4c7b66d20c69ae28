//! `locally grad`: backward for the loss Σ y·dy.

use crate::args::{Common, Grad};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::{arrays, chain, device, output};
use locally_connected_keras::npy;
use pollster::block_on;

pub(crate) fn grad(common: &Common, args: &Grad) -> Result<(), Failure> {
    output::check_destination(&args.output)?;
    let progress = Progress::start(common.quiet, "reading the model");
    let (file, layer) = (chain::open(&args.chain.model)?, args.chain.layer.as_deref());
    let model = chain::model(&file, layer)?;
    let input = arrays::read_samples(&args.input, "the input", &model.input_shape, None)?;
    let batch = input.shape.first().copied();
    let grad_output =
        arrays::read_samples(&args.grad_output, "the gradient of the output", &model.output_shape, batch)?;

    progress.set("opening the device");
    let device = device::open(common)?;
    progress.set("sending the weights");
    let model = model.with_implementation(args.chain.implementation.implementation());
    let loaded = block_on(device.upload(&model))?;
    progress.set(format!("running {} samples", batch.unwrap_or(0)));
    let gradients = block_on(loaded.gradients(&input.values, &grad_output.values))?;
    progress.set("writing");
    let parameters = file.gradients(layer, &gradients.parameters)?;
    let named = parameters.iter().map(|(name, array)| (name.clone(), array.shape.clone(), array.values.as_slice()));
    let arrays: Vec<_> =
        std::iter::once(("input".to_owned(), input.shape, gradients.input.as_slice())).chain(named).collect();
    Ok(npy::write_npz(&args.output, &arrays)?)
}
