//! Plans as text: kernels, constants, bindings, workgroups and uniforms by name.

use crate::layers::Layer;
use crate::net::{Net, Result, STRATEGIES};
use crate::shaders::{Field, fields};
use crate::workloads::workloads;
use locally_connected::kernels::{Uniform, Variant};
use locally_connected::model::{layer_backward, layer_forward, layer_names};
use locally_connected::plan::{Dispatch, Planner, ProgramPlan, Resource, Slice};
use locally_connected::program::Program;
use locally_connected::{DeviceProfile, Geometry, Gradients, Implementation};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

const IMPLEMENTATIONS: [Option<Implementation>; 4] =
    [None, Some(Implementation::Loop), Some(Implementation::DenseMatmul), Some(Implementation::SparseGather)];

/// Two devices that cut and choose differently.
fn profiles() -> [(&'static str, DeviceProfile); 2] {
    let browser = DeviceProfile::webgpu_defaults();
    let native = DeviceProfile {
        max_binding: (1 << 31) - 4,
        max_buffer: 1 << 31,
        storage_alignment: 16,
        max_iterations: 65_535,
        ..browser.clone()
    };
    [("browser", browser), ("native", native)]
}

pub(crate) fn add(net: &mut Net, layers: &[Layer]) -> Result<()> {
    let mut writer = Writer::default();
    for (profile_name, profile) in profiles() {
        for (strategy_name, strategy) in STRATEGIES {
            let profile = DeviceProfile { strategy, ..profile.clone() };
            let at = format!("{profile_name} {strategy_name}");
            for (name, geometry) in workloads()? {
                for batch in [1, 8, 32] {
                    let name = format!("plan {name} {batch} {at}");
                    let layer = Batch { name: &name, geometry: &geometry, batch };
                    writer.passes(net, layer, Planner::new(&profile))?;
                }
            }
            for layer in layers {
                let profile = layer.within(&profile);
                let name = format!("plan {} {} {at}", layer.name, layer.batch);
                let layer = Batch { name: &name, geometry: &layer.geometry, batch: layer.batch };
                writer.passes(net, layer, Planner::new(&profile))?;
            }
        }
    }
    Ok(())
}

/// A layer, for a batch of so many samples.
struct Batch<'a> {
    name: &'a str,
    geometry: &'a Geometry,
    batch: u32,
}

/// Writes plans; of each variant it knows which fields of the uniform are read.
#[derive(Default)]
struct Writer {
    fields: BTreeMap<Variant, (Vec<Field>, Uniform)>,
}

impl Writer {
    /// Every pass by every implementation, or why there is no plan.
    fn passes(&mut self, net: &mut Net, layer: Batch<'_>, planner: Planner<'_>) -> Result<()> {
        let Batch { name, geometry, batch } = layer;
        for implementation in IMPLEMENTATIONS {
            let layer = Arc::new(geometry.with_implementation(implementation));
            let passes = [
                ("forward", layer_forward(&layer, false)),
                ("forward-keeping", layer_forward(&layer, true)),
                ("backward", layer_backward(&layer, Gradients::ALL)),
            ];
            for (pass, program) in passes {
                let text = match planner.program(&program, batch) {
                    Ok(plan) => self.plan(&Planned { program: &program, plan: &plan })?,
                    Err(error) => format!("refused: {error}"),
                };
                net.insert(format!("{name} {} {pass}", implementation.map_or("auto", Implementation::name)), text);
            }
        }
        Ok(())
    }

    fn plan(&mut self, planned: &Planned<'_>) -> Result<String> {
        let by: BTreeSet<&str> =
            planned.plan.plans.iter().filter_map(|plan| Some(plan.implementation?.name())).collect();
        let mut text = format!("by {}\n", by.into_iter().collect::<Vec<_>>().join(" and "));
        for (buffer, piece) in planned.program.buffers.iter().zip(&planned.plan.scratch.of_buffer) {
            if let Some(bytes) = piece.and_then(|piece| planned.plan.pieces().get(piece).copied()) {
                writeln!(text, "scratch {} of {bytes} bytes", planned.buffer_name(&buffer.name))?;
            }
        }
        let own = planned.plan.own_scratch();
        let mut written = BTreeSet::new();
        for &(resource, _) in planned.plan.plans.iter().flat_map(|plan| &plan.scratch) {
            if written.insert(resource)
                && let Some((_, bytes)) = own.iter().find(|(of, _)| *of == resource)
            {
                writeln!(text, "scratch {} of {bytes} bytes", planned.name(resource))?;
            }
        }
        for (plan, operation) in planned.plan.plans.iter().zip(0..) {
            for dispatch in &plan.dispatches {
                self.dispatch(&mut text, planned, (operation, dispatch))?;
            }
        }
        Ok(text)
    }

    fn dispatch(
        &mut self,
        text: &mut String,
        planned: &Planned<'_>,
        (operation, dispatch): (usize, &Dispatch),
    ) -> Result<()> {
        let Dispatch { variant, bindings, params, workgroups } = dispatch;
        let info = variant.info();
        let constants = variant.constants();
        write!(text, "{} {:?}", info.name, constants.weights.unwrap_or_default())?;
        for (name, value) in constants.named {
            write!(text, " {}={value}", name.to_uppercase())?;
        }
        let [x, y, z] = workgroups;
        write!(text, "\n  workgroups {x} {y} {z}\n")?;
        for (slice, binding) in bindings.iter().zip(1..) {
            let Slice { resource, offset, size } = *slice;
            let size = match size {
                Some(size) => size.get(),
                None => planned.plan.bytes(planned.program, operation, resource)? - offset,
            };
            writeln!(text, "  binding {binding}: {} from byte {offset}, {size} bytes", planned.name(resource))?;
        }
        let (fields, uniform) = match self.fields.entry(*variant) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                new.insert((fields(*variant)?, variant.shader()?.uniform))
            }
        };
        write!(text, "  uniform")?;
        let bytes = uniform.bytes(params);
        for field in fields {
            write!(text, " {}", field.shown(&bytes)?)?;
        }
        text.push('\n');
        Ok(())
    }
}

/// A program with its plan, to be written down.
struct Planned<'a> {
    program: &'a Program,
    plan: &'a ProgramPlan,
}

impl Planned<'_> {
    fn name(&self, resource: Resource) -> String {
        let of = |id| self.program.buffer(id).map_or("?", |buffer| self.buffer_name(&buffer.name));
        match resource {
            Resource::Buffer(id) => of(id).to_owned(),
            Resource::Chunk(id, index) => format!("{} {index}", of(id)),
            Resource::Tables => "tap tables".to_owned(),
            Resource::SparseIndex => "sparse index".to_owned(),
            Resource::DenseMatrix => "dense matrix".to_owned(),
            Resource::SampleSums => "sums over the samples".to_owned(),
            Resource::Between(step) => format!("between steps {step}"),
            Resource::Parts => "parts of sums over the locations".to_owned(),
            Resource::Data(number) => format!("data {number}"),
        }
    }

    fn buffer_name<'n>(&self, name: &'n str) -> &'n str {
        match name {
            layer_names::WEIGHTS => "weights",
            layer_names::GRAD_WEIGHTS => "gradient of weights",
            layer_names::PRE_ACTIVATION => "value before the activation",
            layer_names::GRAD_PRE_ACTIVATION => "gradient before the activation",
            layer_names::GRAD_OUTPUT => "gradient of output",
            layer_names::GRAD_INPUT => "gradient of input",
            layer_names::GRAD_BIAS => "gradient of bias",
            name => name,
        }
    }
}
