//! Plans as text: kernels, constants, bindings, workgroups and uniforms by name.

use crate::layers::Layer;
use crate::net::{Net, Result, STRATEGIES};
use crate::shaders::{Field, fields};
use crate::workloads::workloads;
use locally_connected::geometry::SparseIndex;
use locally_connected::kernel::{Tables, Uniform, Variant};
use locally_connected::plan::{Chunk, Dispatch, Gradients, Plan, Planner, Role, Slice, chunks};
use locally_connected::{DeviceProfile, Geometry, Implementation, WeightType};
use std::collections::BTreeMap;
use std::fmt::Write as _;

const IMPLEMENTATIONS: [Implementation; 4] =
    [Implementation::Auto, Implementation::Loop, Implementation::DenseMatmul, Implementation::SparseGather];

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
                    writer.passes(net, &format!("plan {name} {batch} {at}"), &geometry, batch, &profile)?;
                }
            }
            for layer in layers {
                let profile = layer.within(&profile);
                let name = format!("plan {} {} {at}", layer.name, layer.batch);
                writer.passes(net, &name, &layer.geometry, layer.batch, &profile)?;
            }
        }
    }
    Ok(())
}

/// Writes plans; of each variant it knows which fields of the uniform are read.
#[derive(Default)]
struct Writer {
    fields: BTreeMap<Variant, (Vec<Field>, Uniform)>,
}

impl Writer {
    /// Every pass by every implementation, or why there is no plan.
    fn passes(
        &mut self,
        net: &mut Net,
        name: &str,
        geometry: &Geometry,
        batch: u32,
        profile: &DeviceProfile,
    ) -> Result<()> {
        let (tables, chunks) = (Tables::new(geometry), chunks(geometry, profile)?);
        let planner = Planner::new(geometry, &tables, &chunks, profile);
        let buffers = Buffers { geometry, tables: &tables, chunks: &chunks, batch };
        for implementation in IMPLEMENTATIONS {
            let passes = [
                ("forward", planner.forward(batch, implementation, false)),
                ("forward-keeping", planner.forward(batch, implementation, true)),
                ("backward", planner.backward(batch, implementation, Gradients::ALL)),
            ];
            for (pass, plan) in passes {
                let text = match plan {
                    Ok(plan) => self.plan(&plan, &buffers)?,
                    Err(error) => format!("refused: {error}"),
                };
                net.insert(format!("{name} {} {pass}", implementation.name()), text);
            }
        }
        Ok(())
    }

    fn plan(&mut self, plan: &Plan, buffers: &Buffers<'_>) -> Result<String> {
        let mut text = format!("by {}\n", plan.implementation.name());
        for (role, bytes) in &plan.scratch {
            writeln!(text, "scratch {} of {bytes} bytes", role_name(*role))?;
        }
        for dispatch in &plan.dispatches {
            self.dispatch(&mut text, dispatch, plan, buffers)?;
        }
        Ok(text)
    }

    fn dispatch(&mut self, text: &mut String, dispatch: &Dispatch, plan: &Plan, buffers: &Buffers<'_>) -> Result<()> {
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
            let Slice { role, offset, size } = *slice;
            let size = if size == 0 { buffers.bytes(role, plan)? - offset } else { size };
            writeln!(text, "  binding {binding}: {} from byte {offset}, {size} bytes", role_name(role))?;
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

/// What the buffers of a pass are as long as.
struct Buffers<'a> {
    geometry: &'a Geometry,
    tables: &'a Tables,
    chunks: &'a [Chunk],
    batch: u32,
}

impl Buffers<'_> {
    fn bytes(&self, role: Role, plan: &Plan) -> Result<u64> {
        let samples = |elements: u64| 4 * elements * u64::from(self.batch);
        let chunk = |index: u32, dtype: WeightType| {
            self.chunks.get(index as usize).map(|chunk| chunk.bytes(dtype)).ok_or("no such chunk of the weights")
        };
        Ok(match role {
            Role::Input | Role::GradInput => samples(self.geometry.inputs()),
            Role::Output | Role::PreActivation | Role::GradOutput => samples(self.geometry.outputs()),
            Role::Kernel(index) => chunk(index, self.geometry.config().dtype)?,
            Role::GradKernel(index) => chunk(index, WeightType::F32)?,
            Role::Bias | Role::GradBias => 4 * self.geometry.biases(),
            Role::Tables => 4 * self.tables.data.len() as u64,
            Role::SparseIndex => 4 * SparseIndex::len_of(self.geometry),
            Role::Dense | Role::GradPreActivation | Role::SampleSums => {
                let scratch = plan.scratch.iter().find(|(other, _)| *other == role);
                scratch.ok_or_else(|| format!("{} was not reserved", role_name(role)))?.1
            }
        })
    }
}

fn role_name(role: Role) -> String {
    let name = match role {
        Role::Input => "input",
        Role::Output => "output",
        Role::PreActivation => "value before the activation",
        Role::GradOutput => "gradient of output",
        Role::GradInput => "gradient of input",
        Role::Kernel(index) => return format!("weights {index}"),
        Role::GradKernel(index) => return format!("gradient of weights {index}"),
        Role::Bias => "bias",
        Role::GradBias => "gradient of bias",
        Role::Tables => "tap tables",
        Role::SparseIndex => "sparse index",
        Role::Dense => "dense matrix",
        Role::GradPreActivation => "gradient before the activation",
        Role::SampleSums => "sums over the samples",
    };
    name.to_owned()
}
