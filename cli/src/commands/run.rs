//! `locally run`: forward.

use crate::args::{Common, Run};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::{arrays, chain, device, output};
use locally_connected::keras::npy;
use locally_connected::network::{Network, NetworkOptions};
use pollster::block_on;

pub(crate) fn run(common: &Common, args: &Run) -> Result<(), Failure> {
    output::check_destination(&args.output)?;
    let progress = Progress::start(common.quiet, "reading the model");
    let model = chain::open(&args.chain.model)?;
    let (input_shape, output_shape) = chain::shapes(chain::layers(&model, args.chain.layer.as_deref())?);
    let input = arrays::read_samples(&args.input, "the input", &input_shape, None)?;
    let batch = input.shape.first().copied().unwrap_or(0);

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
    progress.set(format!("running {batch} samples"));
    let values = block_on(network.forward(&input.values))?;
    Ok(npy::write_npy(&args.output, &arrays::batched(batch, &output_shape), &values)?)
}
