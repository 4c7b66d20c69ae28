//! `locally run`: forward.

use crate::args::{Common, Run};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::{arrays, device, memory, model, output};
use locally_connected::headless::Device;
use locally_connected_keras::npy;
use pollster::block_on;
use std::collections::BTreeMap;

pub(crate) fn run(common: &Common, args: &Run) -> Result<(), Failure> {
    output::check_destination(&args.output)?;
    let progress = Progress::start(common.quiet, "reading the model");
    let part = &args.part;
    let model = model::take(&mut model::open(&part.source, &progress)?, part.layer.as_deref())?;
    let graph = model.graph.clone();
    let ends = graph.outputs();
    if ends.len() > 1 && args.output.extension().is_none_or(|extension| extension != "npz") {
        let names: Vec<_> = ends.iter().map(|end| end.name).collect();
        let message = format!("{}: the model has {} outputs ({})", args.output.display(), ends.len(), names.join(", "));
        return Err(Failure::request(message).with_help("they go to an .npz, an array of each name"));
    }
    let inputs = arrays::read_ends(&args.input, "the input", &graph.inputs(), None)?;
    let batch = inputs.first().and_then(|(_, input)| input.shape.first().copied()).unwrap_or(0);

    memory::check_run(&graph.forward(), batch)?;

    progress.set("opening the device");
    let device = device::open(common)?;
    progress.set("sending the weights");
    let model = model.with_implementation(part.implementation.implementation());
    let running = || progress.set(format!("running {batch} samples"));
    let outputs = match &device {
        Device::Gpu(gpu) => {
            let loaded = block_on(gpu.upload_model(&model))?;
            // The device has the weights now.
            drop(model);
            running();
            block_on(gpu.run_named(&loaded, &arrays::values(&inputs)))?
        }
        Device::Cpu(_) => {
            let loaded = block_on(device.upload(&model))?;
            running();
            block_on(loaded.run_named(&arrays::values(&inputs)))?
        }
    };
    let samples: BTreeMap<&str, &[usize]> = ends.iter().map(|end| (end.name, end.shape)).collect();
    let shape = |name: &str| arrays::batched(batch, samples.get(name).copied().unwrap_or_default());
    let named: Vec<_> = outputs.iter().map(|(name, values)| (name.clone(), shape(name), values.as_slice())).collect();
    match &named[..] {
        [(_, shape, values)] if args.output.extension().is_none_or(|extension| extension != "npz") => {
            Ok(npy::write_npy(&args.output, shape, values)?)
        }
        _ => Ok(npy::write_npz(&args.output, &named)?),
    }
}
