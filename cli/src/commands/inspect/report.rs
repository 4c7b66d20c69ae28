//! What is known of each locally connected layer, and how the planner would run it.

use locally_connected::geometry::KerasLayout;
use locally_connected::model::{layer_backward, layer_forward};
use locally_connected::ops::Shape;
use locally_connected::plan::{Estimate, Planner, ProgramPlan, cut};
use locally_connected::{DataFormat, DeviceProfile, Error, Geometry, Gradients, Implementation};
use locally_connected_keras::{FileLayer, Local};
use std::sync::Arc;

/// The memory and time of a layer by one implementation, without the samples.
pub(super) struct Costs {
    /// Bytes to run it: weights, tables, sparse index, scratch, uniforms.
    pub(super) forward_bytes: u64,
    /// Bytes to train it: these, the gradients of the weights, and what the backward pass needs.
    pub(super) backward_bytes: u64,
    pub(super) chunks: usize,
    pub(super) forward: Estimate,
    pub(super) backward: Estimate,
}

/// The planner's choice: an implementation for each operation that has several.
pub(super) struct Auto {
    pub(super) forward: Implementation,
    pub(super) grad_weights: Implementation,
    pub(super) grad_input: Implementation,
    /// Estimates of both passes.
    estimates: [Estimate; 2],
}

impl Auto {
    fn new(planner: &Planner<'_>, geometry: &Geometry, batch: u32) -> Result<Self, Error> {
        let plans = Costs::plans(planner, geometry, None, batch)?;
        let estimates = plans.each_ref().map(|plan| plan.estimate(planner.profile));
        let taken = plans.iter().flat_map(|plan| &plan.plans).filter_map(|plan| plan.implementation);
        match taken.collect::<Vec<_>>()[..] {
            [forward, grad_weights, grad_input] => Ok(Self { forward, grad_weights, grad_input, estimates }),
            _ => Err(Error::NoImplementation),
        }
    }

    /// The implementation of the backward pass; none if its operations take different ones.
    pub(super) fn backward(&self) -> Option<Implementation> {
        (self.grad_weights == self.grad_input).then_some(self.grad_input)
    }
}

/// A locally connected layer and all that is reported of it.
pub(super) struct Report<'m> {
    pub(super) layer: &'m FileLayer,
    pub(super) local: &'m Local,
    pub(super) connected: u64,
    pub(super) nonzero: u64,
    pub(super) implementations: Vec<(Implementation, Result<Costs, Error>)>,
    pub(super) auto: Result<Auto, Error>,
}

impl<'m> Report<'m> {
    pub(super) fn new(
        layer: &'m FileLayer,
        local: &'m Local,
        profile: &DeviceProfile,
        batch: u32,
    ) -> Result<Self, Error> {
        let geometry = &local.geometry;
        let nonzero = |values: &[f32]| values.iter().filter(|&&value| value != 0.0).count() as u64;
        let nonzero = match local.layout {
            // In implementation 2, unconnected places of the matrix aren't weights.
            KerasLayout::Implementation2 => nonzero(&local.canonical()?),
            _ => nonzero(&local.kernel),
        };
        let planner = Planner::new(profile);
        let costs = |implementation| Costs::new(&planner, geometry, implementation, batch);
        Ok(Self {
            layer,
            local,
            connected: geometry.connected_weights(),
            nonzero,
            implementations: Implementation::ALL.map(|implementation| (implementation, costs(implementation))).into(),
            auto: Auto::new(&planner, geometry, batch),
        })
    }

    /// The number of parameters as Keras counts them: all that the file stores.
    pub(super) fn parameters(&self) -> u64 {
        (self.local.kernel.len() + self.local.bias.as_ref().map_or(0, Vec::len)) as u64
    }

    /// The number by which Keras's documentation calls layers sparse: filters · channels · kernel / (input positions ·
    /// strides).
    pub(super) fn sparsity_ratio(&self) -> f64 {
        let (config, input) = (self.local.geometry.config(), self.local.geometry.input_shape());
        let (positions, channels) = match config.data_format {
            DataFormat::ChannelsFirst => (input.get(1..), input.first()),
            DataFormat::ChannelsLast => (input.get(..input.len().saturating_sub(1)), input.last()),
        };
        let product = |sizes: &[usize]| sizes.iter().map(|&size| size as f64).product::<f64>();
        let connected = (config.filters * channels.copied().unwrap_or(1)) as f64 * product(&config.kernel_size);
        connected / (product(positions.unwrap_or_default()) * product(&config.strides))
    }

    pub(super) fn nonzero_fraction(&self) -> f64 {
        self.nonzero as f64 / self.connected.max(1) as f64
    }

    /// Whether the planner takes this implementation for the forward and for the backward pass.
    pub(super) fn is_auto(&self, implementation: Implementation) -> [bool; 2] {
        match &self.auto {
            Ok(auto) => {
                [auto.forward == implementation, [auto.grad_weights, auto.grad_input].contains(&implementation)]
            }
            Err(_) => [false; 2],
        }
    }

    /// The reasons for the planner's choice, with its numbers.
    pub(super) fn reasons(&self) -> Vec<String> {
        let auto = match &self.auto {
            Ok(auto) => auto,
            Err(error) => return vec![error.to_string()],
        };
        let possible: Vec<_> =
            self.implementations.iter().filter_map(|(name, costs)| Some((*name, costs.as_ref().ok()?))).collect();
        let pass = |name: &str, taken: &str, of: &Estimate, estimate: &dyn Fn(&Costs) -> Estimate| {
            let others = possible.iter().filter(|(implementation, _)| implementation.name() != taken);
            let others: Vec<_> =
                others.map(|(other, costs)| format!("{} {}", other.name(), time(estimate(costs).seconds))).collect();
            let numbers = numbers(of);
            match others.is_empty() {
                true => format!("{name} {taken}, the only one that is possible: expected {numbers}"),
                false => format!("{name} {taken}: expected {numbers}, against {}", others.join(" and ")),
            }
        };
        let backward = match auto.backward() {
            Some(both) => both.name().to_owned(),
            None => format!("{} for the weights, {} for the input", auto.grad_weights.name(), auto.grad_input.name()),
        };
        let [forward_estimate, backward_estimate] = &auto.estimates;
        vec![
            pass("forward", auto.forward.name(), forward_estimate, &|costs| costs.forward),
            pass("backward", &backward, backward_estimate, &|costs| costs.backward),
        ]
    }
}

impl Costs {
    /// The plans of the forward and the backward pass.
    fn plans(
        planner: &Planner<'_>,
        geometry: &Geometry,
        implementation: impl Into<Option<Implementation>>,
        batch: u32,
    ) -> Result<[ProgramPlan; 2], Error> {
        let layer = Arc::new(geometry.with_implementation(implementation));
        let forward = planner.program(&layer_forward(&layer, false), batch)?;
        Ok([forward, planner.program(&layer_backward(&layer, Gradients::ALL), batch)?])
    }

    fn new(
        planner: &Planner<'_>,
        geometry: &Geometry,
        implementation: impl Into<Option<Implementation>>,
        batch: u32,
    ) -> Result<Self, Error> {
        let [forward, backward] = Self::plans(planner, geometry, implementation, batch)?;
        let own = forward.memory;
        let forward_bytes = own.parameters + own.constants + own.bound();
        Ok(Self {
            forward_bytes,
            backward_bytes: forward_bytes + backward.memory.gradients + backward.memory.bound(),
            chunks: cut(&Shape::of_weights(geometry), planner.profile)?.len(),
            forward: forward.estimate(planner.profile),
            backward: backward.estimate(planner.profile),
        })
    }
}

fn numbers(estimate: &Estimate) -> String {
    let bytes = crate::format::bytes(estimate.bytes as u64);
    let s = if estimate.dispatches == 1 { "" } else { "es" };
    format!(
        "{} ({bytes} moved, {:.1e} operations, {} dispatch{s})",
        time(estimate.seconds),
        estimate.operations,
        estimate.dispatches
    )
}

/// A time with a readable unit.
pub(super) fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.0} µs", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.1} s"),
    }
}
