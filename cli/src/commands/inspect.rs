//! `locally inspect`: what is in a model, and how it would run.

mod report;

use crate::args::{Common, Inspect, number};
use crate::arrays::tuple;
use crate::failure::Failure;
use crate::format::{bytes, count, table};
use crate::progress::Progress;
use crate::{device, model, output};
use locally_connected::model::Wanted;
use locally_connected::{DeviceProfile, Error, Implementation};
use locally_connected_keras::{self as keras, FileLayer, LayerKind, ModelFile};
use report::{Costs, Report, time};
use serde_json::{Value, json};
use std::collections::BTreeMap;

struct Device {
    profile: DeviceProfile,
    /// The adapter in words; none without one.
    adapter: Option<String>,
}

pub(crate) fn inspect(common: &Common, args: &Inspect) -> Result<(), Failure> {
    let progress = Progress::start(common.quiet, "reading the model");
    let file = model::open(&args.source, &progress)?;
    let (adapters, chosen) = device::choose(common)?;
    // Plans are for adapters that run WGSL. Without a GPU, a software adapter's are shown, if there is one.
    let software = || adapters.first().filter(|_| !device::is_cpu(common));
    let device = match chosen.and_then(|chosen| adapters.get(chosen)).or_else(software) {
        Some(adapter) => {
            let info = adapter.get_info();
            let profile = DeviceProfile::new(&info, &adapter.limits());
            Device { profile, adapter: Some(device::describe(&info)) }
        }
        None => Device { profile: DeviceProfile::webgpu_defaults(), adapter: None },
    };
    progress.set("planning");
    let reports = file
        .locals()
        .map(|(layer, local)| Report::new(layer, local, &device.profile, args.batch))
        .collect::<Result<Vec<_>, Error>>()?;
    let memory = Memory::of(&file, args.batch);
    drop(progress);
    let inspection = Inspection { args, file: &file, device, reports, memory };
    if args.json { output::print_json(&inspection.to_json()) } else { output::print(&inspection.to_text()) }
}

/// What is reported.
struct Inspection<'a> {
    args: &'a Inspect,
    file: &'a ModelFile,
    device: Device,
    reports: Vec<Report<'a>>,
    memory: Vec<Memory>,
}

/// The memory for a whole model's values at once, with its parameters: the buffers of its programs.
struct Memory {
    batch: u32,
    run: u64,
    /// Including what its backward pass needs.
    train: u64,
}

impl Memory {
    /// The memory for some batches; empty for a model that doesn't run as a whole.
    fn of(file: &ModelFile, batch: u32) -> Vec<Self> {
        let Ok(graph) = file.graph() else { return Vec::new() };
        let (forward, backward) = (graph.forward(), graph.backward(Wanted::Parameters));
        let mut batches = vec![1, 8, 32, 128, batch];
        batches.sort_unstable();
        batches.dedup();
        let of = |batch| Self { batch, run: forward.bytes(batch), train: backward.bytes(batch) };
        batches.into_iter().map(of).collect()
    }
}

/// The number of parameters of all layers: those that are trained, and those that aren't.
fn parameters(file: &ModelFile) -> [u64; 2] {
    file.all_layers().map(FileLayer::parameters).fold([0; 2], |[a, b], [c, d]| [a + c, b + d])
}

/// Why the model doesn't run as a whole; none if it does.
fn problem(file: &ModelFile) -> Option<String> {
    file.check_runnable().err().map(|error| error.to_string())
}

fn runs(layer: &FileLayer) -> bool {
    !matches!(layer.kind, LayerKind::Unsupported { .. })
}

/// The layers that Keras computes in 16 bits, by the dtype's name.
fn reduced(file: &ModelFile) -> BTreeMap<&str, Vec<&str>> {
    let mut reduced = BTreeMap::<_, Vec<_>>::new();
    for layer in file.all_layers().filter(|layer| layer.class_name != "InputLayer") {
        if let Some(policy) = layer.dtype_policy().filter(|policy| policy.ends_with("float16")) {
            reduced.entry(policy).or_default().push(layer.name.as_str());
        }
    }
    reduced
}

/// Why a layer doesn't run here, if it doesn't and the reason isn't just its class.
fn reason(layer: &FileLayer) -> Option<&str> {
    match &layer.kind {
        LayerKind::Unsupported { reason } => reason.as_deref(),
        _ => None,
    }
}

impl Inspection<'_> {
    fn to_json(&self) -> Value {
        let Self { args, file, device, reports, memory } = self;
        let layer = |layer: &FileLayer| {
            json!({
                "name": layer.name,
                "class": layer.class_name,
                "input_shape": layer.input_shape,
                "output_shape": layer.output_shape,
                "runs": runs(layer),
                "reason": reason(layer),
                "dtype": layer.dtype_policy(),
                "config": layer.config,
                "parameters": layer.parameters()[0] + layer.parameters()[1],
                "not_trained": layer.parameters()[1],
            })
        };
        json!({
            "file": args.source.model.display().to_string(),
            "name": file.name,
            "keras_version": file.keras_version(),
            "runs": problem(file).is_none(),
            "problem": problem(file),
            "chain": file.all_layers().map(layer).collect::<Vec<_>>(),
            "reduced_precision": reduced(file),
            "adapter": device.adapter,
            "batch": args.batch,
            "parameters": parameters(file)[0] + parameters(file)[1],
            "not_trained": parameters(file)[1],
            "memory": memory
                .iter()
                .map(|memory| json!({"batch": memory.batch, "run_bytes": memory.run, "train_bytes": memory.train}))
                .collect::<Vec<_>>(),
            "layers": reports.iter().map(layer_to_json).collect::<Vec<_>>(),
        })
    }
}

fn layer_to_json(report: &Report<'_>) -> Value {
    let (layer, local) = (report.layer, report.local);
    let implementations = report.implementations.iter().map(|(i, costs)| costs_to_json(report, *i, costs));
    json!({
        "name": layer.name,
        "class": layer.class_name,
        "config": layer.config,
        "input_shape": layer.input_shape,
        "output_shape": layer.output_shape,
        "kernel_shape": local.kernel_shape(),
        "bias_shape": local.geometry.bias_shape(),
        "parameters": report.parameters(),
        "connected_weights": report.connected,
        "nonzero_fraction": report.nonzero_fraction(),
        "sparsity_ratio": report.sparsity_ratio(),
        "implementations": implementations.collect::<Vec<_>>(),
        "auto": report.auto.as_ref().ok().map(|auto| {
            json!({
                "forward": number(auto.forward),
                // None if its operations take different ones.
                "backward": auto.backward().map(number),
                "grad_weights": number(auto.grad_weights),
                "grad_input": number(auto.grad_input),
            })
        }),
        "auto_reason": report.reasons().join("; "),
    })
}

fn costs_to_json(report: &Report<'_>, implementation: Implementation, costs: &Result<Costs, Error>) -> Value {
    let (number, name) = (number(implementation), implementation.name());
    let [auto_forward, auto_backward] = report.is_auto(implementation);
    match costs {
        Ok(costs) => json!({
            "implementation": number,
            "name": name,
            "possible": true,
            "chunks": costs.chunks,
            "forward_bytes": costs.forward_bytes,
            "backward_bytes": costs.backward_bytes,
            "forward_dispatches": costs.forward.dispatches,
            "backward_dispatches": costs.backward.dispatches,
            "forward_expected_s": costs.forward.seconds,
            "backward_expected_s": costs.backward.seconds,
            "auto_forward": auto_forward,
            "auto_backward": auto_backward,
        }),
        Err(error) => {
            json!({ "implementation": number, "name": name, "possible": false, "reason": error.to_string() })
        }
    }
}

impl Inspection<'_> {
    fn to_text(&self) -> String {
        let Self { args, file, device, reports, memory } = self;
        let mut text =
            format!("{}: \"{}\", saved by Keras {}\n", args.source.model.display(), file.name, file.keras_version());
        match problem(file) {
            None => text.push_str("runs as a whole\n"),
            Some(problem) => text.push_str(&format!("doesn't run as a whole: {problem}\n")),
        }
        if file.keras_version().starts_with('1') && args.source.backend.is_none() {
            text.push_str("Keras 1 doesn't say what ran it: `--backend theano` flips its convolutions' kernels\n");
        }
        for (policy, layers) in reduced(file) {
            text.push_str(&format!(
                "computed in f32 here, in {policy} by Keras, which is 5e-4 to 3e-3 off: {}\n",
                layers.join(", ")
            ));
        }
        text.push_str(&match &device.adapter {
            Some(adapter) => format!("planned for {adapter}, batch {}\n\n", args.batch),
            None => format!("planned for no adapter but WebGPU's default limits, batch {}\n\n", args.batch),
        });
        let mut layers = table(["layer", "class", "input", "output", "parameters"]);
        for layer in file.all_layers() {
            let shape = |shape: &[usize]| if shape.is_empty() { "?".to_owned() } else { tuple(shape) };
            let parameters = match layer.parameters() {
                _ if !runs(layer) => "(doesn't run here)".to_owned(),
                [0, 0] => String::new(),
                [trained, 0] => count(trained),
                [trained, fixed] => format!("{} ({} not trained)", count(trained + fixed), count(fixed)),
            };
            let class = layer.class_name.clone();
            layers.add_row([
                layer.name.clone(),
                class,
                shape(&layer.input_shape),
                shape(&layer.output_shape),
                parameters,
            ]);
        }
        let [trained, fixed] = parameters(file);
        text.push_str(&format!(
            "{layers}\n{} parameters, {} of them not trained\n",
            count(trained + fixed),
            count(fixed)
        ));
        for memory in memory {
            text.push_str(&format!(
                "batch {}: {} to run, {} to train\n",
                memory.batch,
                bytes(memory.run),
                bytes(memory.train)
            ));
        }
        for report in reports {
            text.push_str(&describe(report));
        }
        if !reports.is_empty() {
            text.push_str(
                "\nto run, to train: bytes on the device besides the samples; times are the planner's estimates\n",
            );
            text.push_str(ADVICE);
        }
        text
    }
}

/// The most telling arguments; JSON has all of them.
const ARGUMENTS: [&str; 9] = [
    "filters",
    "kernel_size",
    "strides",
    "padding",
    "data_format",
    "activation",
    "use_bias",
    "implementation",
    "trainable",
];

/// What Keras's documentation says on `implementation`, and what differs here.
const ADVICE: &str = "Keras's advice for its own implementations: 1 for large dense layers, 2 for small ones, 3 for large sparse ones; large \
                      is many filters, channels and positions, sparse a small ratio of filters * channels * kernel / (input positions * \
                      strides). Here any of them runs from the weights of any; `auto` is what the planner takes\n";

/// Four significant digits.
fn ratio(ratio: f64) -> String {
    if ratio >= 0.001 { format!("{ratio:.4}") } else { format!("{ratio:.3e}") }
}

fn describe(report: &Report<'_>) -> String {
    let (layer, local) = (report.layer, report.local);
    let arguments = ARGUMENTS
        .iter()
        .filter_map(|key| layer.config.get(key).map(|value| format!("{key}={}", keras::to_json(value))));
    let bias = local.geometry.bias_shape().map_or("none".to_owned(), |shape| tuple(&shape));
    let mut text = format!(
        "\n{} ({})\n  {}\n  kernel {}, bias {bias}; {} connected weights, {:.4} of them nonzero; Keras's sparsity ratio {}\n",
        layer.name,
        layer.class_name,
        arguments.collect::<Vec<_>>().join(" "),
        tuple(&local.kernel_shape()),
        count(report.connected),
        report.nonzero_fraction(),
        ratio(report.sparsity_ratio()),
    );
    let mut table =
        table(["implementation", "to run", "to train", "chunks", "dispatches", "forward", "backward", "auto"]);
    for (implementation, costs) in &report.implementations {
        let name = format!("{} {}", number(*implementation), implementation.name());
        let auto = match report.is_auto(*implementation) {
            [true, true] => "forward, backward",
            [true, false] => "forward",
            [false, true] => "backward",
            [false, false] => "",
        };
        if let Ok(costs) = costs {
            table.add_row([
                name,
                bytes(costs.forward_bytes),
                bytes(costs.backward_bytes),
                costs.chunks.to_string(),
                format!("{} + {}", costs.forward.dispatches, costs.backward.dispatches),
                time(costs.forward.seconds),
                time(costs.backward.seconds),
                auto.to_owned(),
            ]);
        } else {
            table.add_row([&name, "not possible"]);
        }
    }
    text.push_str(&format!("{table}\n"));
    for (implementation, costs) in &report.implementations {
        if let Err(error) = costs {
            text.push_str(&format!("{}: {error}\n", implementation.name()));
        }
    }
    for reason in report.reasons() {
        text.push_str(&format!("auto: {reason}\n"));
    }
    text
}
