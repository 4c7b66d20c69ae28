//! `locally grad`: the gradients of the loss Σ y·dy.

use crate::args::{Common, Grad};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::{arrays, device, memory, model, output};
use locally_connected::model::{Wanted, names};
use locally_connected_keras::npy;
use pollster::block_on;

pub(crate) fn grad(common: &Common, args: &Grad) -> Result<(), Failure> {
    output::check_destination(&args.output)?;
    let progress = Progress::start(common.quiet, "reading the model");
    let part = &args.part;
    let (mut file, layer) = (model::open(&part.source, &progress)?, part.layer.as_deref());
    let model = model::take(&mut file, layer)?;
    let inputs = arrays::read_ends(&args.input, "the input", &model.graph.inputs(), None)?;
    let batch = inputs.first().and_then(|(_, input)| input.shape.first().copied());
    let outputs = model.graph.outputs();
    let grad_outputs = arrays::read_ends(&args.grad_output, "the gradient of the output", &outputs, batch)?;

    memory::check_run(&model.graph.backward(Wanted::All), batch.unwrap_or(0))?;

    progress.set("opening the device");
    let device = device::open(common)?;
    progress.set("sending the weights");
    let model = model.with_implementation(part.implementation.implementation());
    let loaded = block_on(device.upload(&model))?;
    progress.set(format!("running {} samples", batch.unwrap_or(0)));
    let gradients = block_on(loaded.gradients_named(&arrays::values(&inputs), &arrays::values(&grad_outputs)))?;
    progress.set("writing");
    let parameters = file.gradients(layer, &gradients.parameters)?;
    let named = parameters.iter().map(|(name, array)| (name.clone(), array.shape.clone(), array.values.as_slice()));
    let of_inputs = inputs.iter().filter_map(|(name, input)| {
        let values = gradients.inputs.get(name)?.as_slice();
        Some((model.graph.input_buffer(names::INPUT, name), input.shape.clone(), values))
    });
    let arrays: Vec<_> = of_inputs.chain(named).collect();
    Ok(npy::write_npz(&args.output, &arrays)?)
}
