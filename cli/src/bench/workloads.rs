//! Workloads: the layers of the contract's table, or one of the user's own.

use locally_connected::geometry::Geometry;
use locally_connected::{Config, Error, Implementation, Padding, WeightType};

/// One locally connected layer, channels last, with a bias per location and no activation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) input: Vec<usize>,
    pub(crate) kernel: Vec<usize>,
    pub(crate) strides: Vec<usize>,
    pub(crate) padding: Padding,
    pub(crate) filters: usize,
}

/// A line of the table; the stride is the same for every axis.
struct Line {
    name: &'static str,
    input: &'static [usize],
    kernel: &'static [usize],
    stride: usize,
    padding: Padding,
    filters: usize,
}

const fn line(
    name: &'static str,
    input: &'static [usize],
    kernel: &'static [usize],
    stride: usize,
    padding: Padding,
    filters: usize,
) -> Line {
    Line { name, input, kernel, stride, padding, filters }
}

/// The contract's table, docs/cli.md.
static TABLE: [Line; 17] = {
    use Padding::{Same, Valid};
    [
        line("keras-doc-1", &[32, 32, 3], &[3, 3], 1, Valid, 64),
        line("keras-doc-2", &[30, 30, 64], &[3, 3], 1, Valid, 32),
        line("keras-doc-1d", &[10, 32], &[3], 1, Valid, 64),
        line("cifar-local3", &[6, 6, 64], &[3, 3], 1, Same, 64),
        line("cifar-local4", &[6, 6, 64], &[3, 3], 1, Same, 32),
        line("deepface-l4", &[63, 63, 16], &[9, 9], 1, Valid, 16),
        line("deepface-l5", &[55, 55, 16], &[7, 7], 2, Valid, 16),
        line("deepface-l6", &[25, 25, 16], &[5, 5], 1, Valid, 16),
        line("yolov1-local", &[7, 7, 1024], &[3, 3], 1, Same, 256),
        line("alltnn-1", &[150, 150, 3], &[7, 7], 3, Valid, 64),
        line("alltnn-5", &[8, 8, 256], &[3, 3], 1, Valid, 256),
        line("signal-1d", &[2048, 1], &[3], 1, Valid, 1),
        line("snp-onehot", &[500_000, 3], &[1], 1, Valid, 1),
        line("snp-blocks", &[100_000, 1], &[20], 20, Valid, 1),
        line("nt3-1d", &[60_483, 1], &[20], 1, Valid, 128),
        line("lcnn-180k", &[180_000, 1], &[10], 1, Valid, 16),
        // A mixture of 128 experts as a layer: each location is an expert, and its window is its own token.
        line("moe-768", &[128, 2048], &[1], 1, Valid, 768),
    ]
};

/// What `--quick` measures.
pub(crate) const QUICK: [&str; 4] = ["keras-doc-1", "cifar-local3", "deepface-l6", "snp-blocks"];

/// The names in the table, for the command line.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|line| line.name)
}

/// All workloads of the table.
pub(crate) fn all() -> impl Iterator<Item = Workload> {
    TABLE.iter().map(|line| Workload {
        name: line.name.into(),
        input: line.input.to_vec(),
        kernel: line.kernel.to_vec(),
        strides: vec![line.stride; line.kernel.len()],
        padding: line.padding.clone(),
        filters: line.filters,
    })
}

/// A pass to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Pass {
    /// The output.
    Forward,
    /// All three gradients.
    Backward,
    /// Forward and backward in one submit; only on request, since the contract's files have no such rows.
    Both,
    /// All layers of a model, forward.
    Model,
    /// Forward, loss, backward and update of a model.
    #[value(name = "train_step", alias = "train-step")]
    TrainStep,
}

impl Pass {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::Both => "both",
            Self::Model => "model",
            Self::TrainStep => "train_step",
        }
    }

    /// The passes of a layer.
    pub(crate) const OF_LAYERS: [Self; 3] = [Self::Forward, Self::Backward, Self::Both];
    pub(crate) const OF_MODELS: [Self; 2] = [Self::Model, Self::TrainStep];

    pub(crate) fn has_forward(self) -> bool {
        matches!(self, Self::Forward | Self::Both)
    }

    pub(crate) fn has_backward(self) -> bool {
        matches!(self, Self::Backward | Self::Both)
    }
}

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub(crate) enum Dtype {
    F32,
    F16,
}

impl Dtype {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    pub(crate) fn weights(self) -> WeightType {
        match self {
            Self::F32 => WeightType::F32,
            Self::F16 => WeightType::F16,
        }
    }

    /// Bytes of a stored weight.
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

/// The least work that any kernel must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeastWork {
    /// Bytes that are moved if each operand is read or written once.
    pub(crate) bytes: u64,
    /// Bytes of these that are written.
    pub(crate) written: u64,
    /// Multiplications and additions with connected weights.
    pub(crate) flops: u64,
}

impl Workload {
    /// A layer of the user's own; `name` is made of its sizes.
    pub(crate) fn custom(
        input: Vec<usize>,
        kernel: Vec<usize>,
        strides: Vec<usize>,
        padding: Padding,
        filters: usize,
    ) -> Self {
        let dims = |sizes: &[usize]| sizes.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
        let mut name = format!("{}-k{}-f{filters}", dims(&input), dims(&kernel));
        if strides.iter().any(|&stride| stride != 1) {
            name.push_str(&format!("-s{}", dims(&strides)));
        }
        if padding != Padding::Valid {
            name.push_str(&format!("-{padding}"));
        }
        Self { name, input, kernel, strides, padding, filters }
    }

    pub(super) fn moves(&self, passes: &[Pass], batches: &[u32], dtypes: &[Dtype]) -> Result<(u64, u64), Error> {
        let geometry = self.geometry(None, Dtype::F32)?;
        let (mut least, mut most) = (u64::MAX, 0);
        for (&pass, &batch) in passes.iter().flat_map(|pass| batches.iter().map(move |batch| (pass, batch))) {
            for &dtype in dtypes {
                let LeastWork { bytes, written, .. } = work(&geometry, pass, batch, dtype);
                least = least.min(written).min(bytes - written);
                most = most.max(bytes);
            }
        }
        Ok((least, most))
    }

    /// The layer's geometry.
    pub(crate) fn geometry(
        &self,
        implementation: impl Into<Option<Implementation>>,
        dtype: Dtype,
    ) -> Result<Geometry, Error> {
        let config = Config::new(self.filters, self.kernel.as_slice())
            .strides(self.strides.as_slice())
            .padding(self.padding.clone())
            .implementation(implementation)
            .dtype(dtype.weights());
        Geometry::new(&config, &self.input)
    }
}

/// The least work of a pass over `batch` samples. Gradients are f32, whatever type the weights have.
pub(crate) fn work(geometry: &Geometry, pass: Pass, batch: u32, dtype: Dtype) -> LeastWork {
    let batch = u64::from(batch);
    let (x, y) = (4 * batch * geometry.inputs(), 4 * batch * geometry.outputs());
    let (weights, biases) = (geometry.connected_weights(), geometry.biases());
    let stored = dtype.bytes() * weights;
    // Forward reads x, weights and bias and writes y. Backward reads x, weights and dy, and writes dx, dw and db.
    let forward = LeastWork { bytes: x + stored + 4 * biases + y, written: y, flops: 2 * batch * weights };
    let written = x + 4 * weights + 4 * biases;
    let backward = LeastWork { bytes: x + stored + y + written, written, flops: 4 * batch * weights };
    match pass {
        Pass::Forward => forward,
        Pass::Backward => backward,
        Pass::Both | Pass::Model | Pass::TrainStep => LeastWork {
            bytes: forward.bytes + backward.bytes,
            written: forward.written + backward.written,
            flops: forward.flops + backward.flops,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use locally_connected::headless::Gpu;
    use locally_connected::{Backward, Forward, Gradients, LocallyConnected};
    use pollster::block_on;
    use serde_json::{Value, json};

    #[test]
    fn the_table_is_the_peers() -> Result<(), Box<dyn std::error::Error>> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../benches/peers/workloads.json");
        let theirs: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path)?)?;
        let ours: Vec<Value> = all()
            .map(|w| {
                json!({
                    "name": w.name, "input": w.input, "kernel": w.kernel, "strides": w.strides,
                    "padding": w.padding.to_string(), "filters": w.filters,
                })
            })
            .collect();
        assert_eq!(ours, theirs);
        assert!(QUICK.iter().all(|quick| names().any(|name| name == *quick)));
        Ok(())
    }

    /// Megabytes of weights, as in the contract's table.
    #[test]
    fn weights_are_the_tables() -> Result<(), Error> {
        let table =
            [6e6, 58e6, 0.2e6, 5e6, 3e6, 251e6, 31e6, 11e6, 462e6, 87e6, 85e6, 24e3, 6e6, 0.4e6, 619e6, 115e6, 805e6];
        for (workload, expected) in all().zip(table) {
            let geometry = workload.geometry(None, Dtype::F32)?;
            let found = 4.0 * geometry.weights() as f64;
            assert!((found / expected - 1.0).abs() < 0.13, "{}: {found} for {expected}", workload.name);
        }
        Ok(())
    }

    /// For every workload, a layer and its passes take what was planned without a device.
    #[test]
    fn memory_is_as_planned() -> Result<(), Error> {
        let gpu = block_on(Gpu::new())?;
        for workload in all() {
            let geometry = workload.geometry(None, Dtype::F32)?;
            let [x, dx] = [gpu.empty(geometry.inputs()), gpu.empty(geometry.inputs())];
            let [y, db] = [gpu.empty(geometry.outputs()), gpu.empty(geometry.biases())];
            let layer = block_on(LocallyConnected::with_geometry(gpu.context(), geometry))?;
            let dw = block_on(layer.create_weights_gradient())?;
            let forward = Forward { batch: 1, input: &x, output: &y, pre_activation: None };
            let backward = Backward {
                batch: 1,
                input: Some(&x),
                output: None,
                pre_activation: None,
                grad_output: &y,
                grad_input: Some(&dx),
                grad_weights: Some(&dw),
                grad_bias: Some(&db),
                accumulate: false,
            };
            let passes = [block_on(layer.bind_forward(forward))?, block_on(layer.bind_backward(backward))?];
            let planned = [layer.plan_forward(1, false)?, layer.plan_backward(1, Gradients::ALL)?];
            for (bound, planned) in passes.iter().zip(&planned) {
                assert_eq!((bound.plan(), bound.bytes()), (planned, planned.memory.bound()), "{}", workload.name);
            }
            let [parameters, constants] =
                [planned[0].memory.parameters, planned.iter().map(|plan| plan.memory.constants).max().unwrap_or(0)];
            // Both passes read the same tables or index, or one of them reads both.
            let held = layer.bytes() - parameters;
            let all = planned.iter().map(|plan| plan.memory.constants).sum::<u64>();
            assert!((constants..=all).contains(&held), "{}: {held} bytes of tables", workload.name);
            assert_eq!(planned[1].memory.gradients, parameters, "{}", workload.name);
            gpu.check()?;
        }
        Ok(())
    }

    #[test]
    fn each_operand_counts_once() -> Result<(), Error> {
        let workload = Workload::custom(vec![10, 2], vec![3], vec![1], Padding::Valid, 4);
        assert_eq!(workload.name, "10x2-k3-f4");
        let geometry = workload.geometry(None, Dtype::F32)?;
        // 8 locations, 6 × 4 weights each; 20 inputs, 32 outputs and biases.
        let (x, y, w, b) = (4 * 5 * 20, 4 * 5 * 32, 4 * 192, 4 * 32);
        let forward = work(&geometry, Pass::Forward, 5, Dtype::F32);
        assert_eq!(forward, LeastWork { bytes: x + w + b + y, written: y, flops: 2 * 5 * 192 });
        let backward = work(&geometry, Pass::Backward, 5, Dtype::F32);
        assert_eq!(backward, LeastWork { bytes: 2 * x + y + 2 * w + b, written: x + w + b, flops: 4 * 5 * 192 });
        assert_eq!(work(&geometry, Pass::Both, 5, Dtype::F32).bytes, forward.bytes + backward.bytes);
        assert_eq!(work(&geometry, Pass::Forward, 5, Dtype::F16).bytes, forward.bytes - w / 2);
        assert_eq!(work(&geometry, Pass::Backward, 5, Dtype::F16).bytes, backward.bytes - w / 2);
        Ok(())
    }
}
