//! Programs on the device under test.

use super::{GPU, context};
use locally_connected::gpu::{Bindings, Tensor, Weights};
use locally_connected::ops::Usage;
use locally_connected::plan::Planner;
use locally_connected::program::Program;
use locally_connected::{DeviceProfile, Result, wgpu};
use std::collections::{BTreeMap, BTreeSet};

/// Values by the buffers' names.
pub(crate) type Arrays = BTreeMap<String, Vec<f32>>;

/// A program, and what it is run on: inputs, parameters and, where they are added to, gradients.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) program: &'a Program,
    pub(crate) batch: u32,
    pub(crate) values: &'a Arrays,
}

/// A program bound on the device, with all its inputs written.
pub(crate) struct ProgramRun {
    /// Bytes of what other programs would share: parameters, tables and indices.
    pub(crate) shared: u64,
    pub(crate) bound: locally_connected::Bound,
    outputs: Vec<(String, wgpu::Buffer)>,
    /// Gradients, and parameters and states that it updates.
    tensors: Vec<(String, Tensor)>,
}

impl ProgramRun {
    /// `given` are inputs, parameters and, where they are added to, gradients.
    pub(crate) fn new(program: &Program, batch: u32, given: &Arrays, profile: &DeviceProfile) -> Result<Self> {
        Self::planned_by(Planner::new(profile), program, batch, given)
    }

    /// The same with wishes of the host's.
    pub(crate) fn planned_by(planner: Planner<'_>, program: &Program, batch: u32, given: &Arrays) -> Result<Self> {
        pollster::block_on(async {
            let mut weights = Weights::new(&context(planner.profile), program).await?;
            weights.set_options(planner.options);
            let names: Vec<String> = weights.names().map(str::to_owned).collect();
            for name in &names {
                // A state that isn't given is zero.
                if let Some(values) = given.get(name) {
                    weights.write(name, values).await?;
                }
            }
            let (mut inputs, mut outputs, mut tensors) = (Vec::new(), Vec::new(), Vec::new());
            for buffer in &program.buffers {
                let name = buffer.name.clone();
                match buffer.usage {
                    Usage::Input => inputs.push((name, GPU.upload(&given[&buffer.name]))),
                    Usage::Output => outputs.push((name, GPU.empty(buffer.shape.elements(batch)))),
                    Usage::Gradient => {
                        let gradient = weights.create(buffer).await?;
                        tensors.push((name, gradient));
                    }
                    Usage::Parameter | Usage::State | Usage::Scratch => {}
                }
            }
            let mut bindings = Bindings::default();
            for (name, buffer) in inputs.iter().chain(&outputs) {
                bindings = bindings.with(name, buffer);
            }
            for (name, gradient) in &tensors {
                bindings = bindings.with(name, gradient);
            }
            let bound = weights.bind(program, batch, &bindings).await?;
            let updated: BTreeSet<_> = program.operations.iter().flat_map(|operation| operation.updates()).collect();
            for buffer in updated.iter().filter_map(|id| program.buffer(*id)) {
                let values = weights.get(&buffer.name).expect("a parameter or a state");
                tensors.push((buffer.name.clone(), values.clone()));
            }
            Ok(Self { shared: weights.bytes(), bound, outputs, tensors })
        })
    }

    /// Records and submits it, and reads all that it wrote.
    pub(crate) fn run(&self) -> Arrays {
        GPU.submit(|encoder| self.bound.record(&mut encoder.begin_compute_pass(&Default::default())));
        self.read()
    }

    /// Reads all that was written.
    pub(crate) fn read(&self) -> Arrays {
        pollster::block_on(async {
            let mut values = Arrays::new();
            for (name, buffer) in &self.outputs {
                values.insert(name.clone(), GPU.read(buffer, buffer.size() / 4).await.expect("the device is there"));
            }
            for (name, gradient) in &self.tensors {
                let mut readback = gradient.readback(GPU.context().device()).await.expect("ours");
                GPU.submit(|encoder| readback.record(encoder)).expect("not recorded before");
                values.insert(name.clone(), GPU.drive(readback.canonical()).await.expect("the device is there"));
            }
            values
        })
    }
}
