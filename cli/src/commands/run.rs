//! `locally run`: forward.

use crate::args::{Common, Run};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::{arrays, chain, device, output};
use locally_connected_keras::npy;
use pollster::block_on;

pub(crate) fn run(common: &Common, args: &Run) -> Result<(), Failure> {
    output::check_destination(&args.output)?;
    let progress = Progress::start(common.quiet, "reading the model");
    let model = chain::model(&chain::open(&args.chain.model)?, args.chain.layer.as_deref())?;
    let input = arrays::read_samples(&args.input, "the input", &model.input_shape, None)?;
    let batch = input.shape.first().copied().unwrap_or(0);

    progress.set("opening the device");
    let device = device::open(common)?;
    progress.set("sending the weights");
    let model = model.with_implementation(args.chain.implementation.implementation());
    let loaded = block_on(device.upload(&model))?;
    progress.set(format!("running {batch} samples"));
    let values = block_on(loaded.run(&input.values))?;
    Ok(npy::write_npy(&args.output, &arrays::batched(batch, &model.output_shape), &values)?)
}
