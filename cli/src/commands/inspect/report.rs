//! What is known of each locally connected layer, and what the planner makes of it.

use locally_connected::geometry::{KerasLayout, SparseIndex};
use locally_connected::kernel::Tables;
use locally_connected::plan::{Estimate, Gradients, Planner, chunks};
use locally_connected::{DeviceProfile, Error, Implementation, WeightType};
use locally_connected_keras::{FileLayer, Local};

/// What one implementation of one layer takes, the samples themselves left out.
pub(super) struct Costs {
    /// To run: weights, tables, sparse index, scratch, uniforms.
    pub(super) forward_bytes: u64,
    /// To train: that, the gradients of the weights, and what the backward pass takes.
    pub(super) backward_bytes: u64,
    pub(super) chunks: usize,
    pub(super) forward: Estimate,
    pub(super) backward: Estimate,
}

/// A locally connected layer and everything there is to say about it.
pub(super) struct Report<'m> {
    pub(super) layer: &'m FileLayer,
    pub(super) local: &'m Local,
    pub(super) connected: u64,
    pub(super) nonzero: u64,
    pub(super) implementations: Vec<(Implementation, Result<Costs, Error>)>,
    /// What `auto` takes forward and backward.
    pub(super) auto: Result<[Implementation; 2], Error>,
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
            // What implementation 2 stores at unconnected places are no weights.
            KerasLayout::Implementation2 => nonzero(&local.canonical()?),
            _ => nonzero(&local.kernel),
        };
        let tables = Tables::new(geometry);
        let chunks = chunks(geometry, profile);
        let planner = || {
            let chunks = chunks.as_deref().map_err(Error::clone)?;
            Ok(Planner::new(geometry, &tables, chunks, profile))
        };
        let costs = |implementation| Costs::new(&planner()?, implementation, batch);
        let auto = || {
            let planner = planner()?;
            let forward = planner.forward(batch, Implementation::Auto, false)?.implementation;
            Ok([forward, planner.backward(batch, Implementation::Auto, Gradients::ALL)?.implementation])
        };
        Ok(Self {
            layer,
            local,
            connected: geometry.connected_weights(),
            nonzero,
            implementations: Implementation::ALL.map(|implementation| (implementation, costs(implementation))).into(),
            auto: auto(),
        })
    }

    /// As Keras counts them: what the file stores.
    pub(super) fn parameters(&self) -> u64 {
        (self.local.kernel.len() + self.local.bias.as_ref().map_or(0, Vec::len)) as u64
    }

    pub(super) fn nonzero_fraction(&self) -> f64 {
        self.nonzero as f64 / self.connected.max(1) as f64
    }

    /// Whether `auto` takes this implementation forward and backward.
    pub(super) fn is_auto(&self, implementation: Implementation) -> [bool; 2] {
        match &self.auto {
            Ok(auto) => auto.map(|taken| taken == implementation),
            Err(_) => [false; 2],
        }
    }

    /// Why the planner takes what it takes, with the numbers it goes by.
    pub(super) fn reasons(&self) -> Vec<String> {
        let auto = match &self.auto {
            Ok(auto) => auto,
            Err(error) => return vec![error.to_string()],
        };
        let possible: Vec<_> =
            self.implementations.iter().filter_map(|(name, costs)| Some((*name, costs.as_ref().ok()?))).collect();
        let pass = |name: &str, taken: Implementation, estimate: &dyn Fn(&Costs) -> Estimate| {
            let chosen = possible.iter().find(|(implementation, _)| *implementation == taken);
            let numbers = chosen.map_or(String::new(), |(_, costs)| numbers(&estimate(costs)));
            let others = possible.iter().filter(|(implementation, _)| *implementation != taken);
            let others: Vec<_> =
                others.map(|(other, costs)| format!("{} {}", other.name(), time(estimate(costs).seconds))).collect();
            match others.is_empty() {
                true => format!("{name} {}, the only one that is possible: expected {numbers}", taken.name()),
                false => format!("{name} {}: expected {numbers}, against {}", taken.name(), others.join(" and ")),
            }
        };
        vec![pass("forward", auto[0], &|costs| costs.forward), pass("backward", auto[1], &|costs| costs.backward)]
    }
}

impl Costs {
    fn new(planner: &Planner<'_>, implementation: Implementation, batch: u32) -> Result<Self, Error> {
        let (geometry, profile) = (planner.geometry, planner.profile);
        let forward = planner.forward(batch, implementation, false)?;
        let backward = planner.backward(batch, implementation, Gradients::ALL)?;
        let uniforms = |dispatches: usize| profile.params_stride() * dispatches as u64;
        let kernel = |dtype| planner.chunks.iter().map(|chunk| chunk.bytes(dtype)).sum::<u64>();
        let index = match implementation {
            Implementation::SparseGather => 4 * SparseIndex::len_of(geometry),
            _ => 0,
        };
        let weights =
            kernel(geometry.config().dtype) + 4 * (geometry.biases() + planner.tables.data.len() as u64) + index;
        let gradients = kernel(WeightType::F32) + 4 * geometry.biases();
        let forward_bytes = weights + forward.scratch_bytes() + uniforms(forward.dispatches.len());
        Ok(Self {
            forward_bytes,
            backward_bytes: forward_bytes + gradients + backward.scratch_bytes() + uniforms(backward.dispatches.len()),
            chunks: planner.chunks.len(),
            forward: Estimate::of(&forward, profile),
            backward: Estimate::of(&backward, profile),
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

/// A time as people read it.
pub(super) fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.0} µs", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.1} s"),
    }
}
