//! `locally verify`: every layer on this machine by every implementation, and by the CPU executor, against the reference; and the
//! whole model, forward.

mod expected;

use crate::args::{Common, Verify, number};
use crate::failure::{Failure, one_line};
use crate::format::table;
use crate::progress::Progress;
use crate::{device, model, output};
use expected::Expected;
use locally_connected::headless::{self, Cpu, Device};
use locally_connected::model::Model;
use locally_connected::{Error, Implementation};
use locally_connected_keras::{FileLayer, LayerKind};
use pollster::block_on;
use serde_json::{Value, json};

/// The largest error allowed, relative to the largest value.
const TOLERANCE: f64 = 2e-5;

/// The results compared, in the order of the errors.
const RESULTS: [&str; 4] = ["output", "input", "kernel", "bias"];

/// The error of each result; none where there is nothing to compare: a layer without a bias, or a whole model, which is
/// only run forward.
type Errors = [Option<f64>; 4];

/// How a layer is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A locally connected layer by one of its implementations, on the GPU.
    Implementation(Implementation),
    /// Any other layer, or a whole model, on the GPU.
    Gpu,
    Cpu,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Implementation(implementation) => implementation.name(),
            Self::Gpu => "gpu",
            Self::Cpu => device::CPU,
        }
    }

    /// Keras's number of the implementation.
    fn number(self) -> Option<u32> {
        match self {
            Self::Implementation(implementation) => Some(number(implementation)),
            Self::Gpu | Self::Cpu => None,
        }
    }
}

struct Row {
    /// The layer's name; none for the whole model.
    layer: Option<String>,
    way: Way,
    tolerance: f64,
    /// The errors, or why it doesn't run here.
    errors: Result<Errors, Error>,
}

impl Row {
    fn worst(&self) -> Option<(&'static str, f64)> {
        let errors = self.errors.as_ref().ok()?;
        let named = RESULTS.iter().zip(errors).filter_map(|(name, error)| error.map(|error| (*name, error)));
        named.max_by(|a, b| a.1.total_cmp(&b.1))
    }

    fn passed(&self) -> bool {
        self.worst().is_none_or(|(_, error)| error <= self.tolerance)
    }
}

/// The devices that run models.
struct Devices {
    cpu: Device,
    /// None if there is no GPU, or only the CPU executor was asked for.
    gpu: Option<Device>,
}

impl Devices {
    fn open(common: &Common) -> Result<Self, Failure> {
        let cpu = Device::Cpu(Cpu::new(&device::options(common))?);
        let gpu = match device::is_cpu(common) {
            true => None,
            false => match device::open_gpu(common) {
                Ok(gpu) => Some(Device::Gpu(Box::new(gpu))),
                // If no adapter was named, the CPU executor is enough.
                Err(Error::NoAdapter | Error::NoBackend { .. }) if headless::wanted(common.adapter()).is_none() => None,
                Err(error) => return Err(error.into()),
            },
        };
        Ok(Self { cpu, gpu })
    }

    fn ways(&self, of_gpu: &[Way]) -> Vec<(&Device, Way)> {
        let gpu = self.gpu.iter().flat_map(|gpu| of_gpu.iter().map(move |way| (gpu, *way)));
        gpu.chain([(&self.cpu, Way::Cpu)]).collect()
    }
}

pub(crate) fn verify(common: &Common, args: &Verify) -> Result<(), Failure> {
    let progress = Progress::start(common.quiet, "reading the model");
    let mut file = model::open(&args.source, &progress)?;
    // Frozen layers' gradients are compared, too.
    all_trainable(&mut file.layers);
    // If the model doesn't run as a whole, its locally connected layers can still be verified.
    let (whole, refused) = match file.model(None) {
        Ok(whole) => (Some(whole), None),
        Err(error) => (None, Some(one_line(&error.to_string()))),
    };
    let of_whole = || whole.iter().flat_map(|whole| whole.graph.layers().iter().map(|layer| layer.name().to_owned()));
    let locals: Vec<String> = file.locals().map(|(layer, _)| layer.name.clone()).collect();
    let names: Vec<String> = match &args.layer {
        Some(name) => vec![name.clone()],
        None => locals.iter().cloned().chain(of_whole().filter(|name| !locals.contains(name))).collect(),
    };
    let devices = Devices::open(common)?;
    let mut rows = Vec::new();
    for name in names {
        let local = locals.contains(&name);
        let model = match whole.as_ref().filter(|_| !local).map(|whole| whole.alone(&name)) {
            Some(Ok(alone)) => alone,
            _ => model::model(&file, Some(&name))?,
        };
        if model.graph.forward().operations.is_empty() {
            // Nothing is computed, for example where only the shape changes.
            continue;
        }
        progress.set(format!("{name}: the reference"));
        let expected = Expected::layer(&model, args.batch)?;
        let ways = if local { Implementation::ALL.map(Way::Implementation).to_vec() } else { vec![Way::Gpu] };
        for (device, way) in devices.ways(&ways) {
            progress.set(format!("{name}: {}", way.name()));
            let model = match way {
                Way::Implementation(implementation) => &model.clone().with_implementation(implementation),
                Way::Gpu | Way::Cpu => &model,
            };
            let errors = run(device, model, &expected)?;
            rows.push(Row { layer: Some(name.clone()), way, tolerance: TOLERANCE, errors });
        }
    }
    let computes = rows.iter().filter(|row| row.way == Way::Cpu).count();
    if let (Some(whole), None, true) = (&whole, &args.layer, computes > 1) {
        progress.set("the whole model: the reference".to_owned());
        let expected = Expected::whole(whole, args.batch)?;
        for (device, way) in devices.ways(&[Way::Gpu]) {
            progress.set(format!("the whole model: {}", way.name()));
            // Errors add up from layer to layer.
            let tolerance = TOLERANCE * computes as f64;
            rows.push(Row { layer: None, way, tolerance, errors: run(device, whole, &expected)? });
        }
    }
    drop(progress);
    if rows.is_empty() {
        let path = args.source.model.display();
        return Err(Failure::request(format!("{path}: the model has no layer that runs here and computes anything")));
    }
    let adapter = match &devices.gpu {
        Some(Device::Gpu(gpu)) => device::describe(&gpu.adapter().get_info()),
        _ => device::describe_cpu(common),
    };
    if args.json {
        let mut report = to_json(args, &adapter, &rows);
        report["whole_refused"] = json!(refused);
        output::print_json(&report)?;
    } else {
        let refused = refused.map(|why| format!("the locally connected layers alone: {why}\n")).unwrap_or_default();
        output::print(&(to_text(args, &adapter, &rows) + &refused))?;
    }
    verdict(&rows)
}

fn all_trainable(layers: &mut [FileLayer]) {
    for layer in layers {
        match &mut layer.kind {
            LayerKind::LocallyConnected(local) => local.trainable = true,
            LayerKind::Computed(computed) => computed.trainable = true,
            _ => {}
        }
        all_trainable(&mut layer.inner);
    }
}

/// The errors, or the device's refusal.
fn run(device: &Device, model: &Model, expected: &Expected) -> Result<Result<Errors, Error>, Error> {
    let errors = || -> Result<Errors, Error> {
        let loaded = block_on(device.upload(model))?;
        let output = expected.output_error(&block_on(loaded.run_named(&expected.inputs()))?);
        let [input, weights, bias] = match expected.grad_outputs() {
            none if none.is_empty() => [None; 3],
            given => expected.gradient_errors(&block_on(loaded.gradients_named(&expected.inputs(), &given))?),
        };
        Ok([output, input, weights, bias])
    };
    match errors() {
        Err(error) if is_refusal(error.cause()) => Ok(Err(error.cause().clone())),
        other => Ok(Ok(other?)),
    }
}

/// Whether the error means that a layer can't be run this way, on this machine or at all.
fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Unsupported { .. } | Error::Limit { .. } | Error::OverBudget { .. })
}

/// Fails if the worst error exceeds the tolerance, or if a layer ran in no way at all.
fn verdict(rows: &[Row]) -> Result<(), Failure> {
    let failed = rows.iter().filter(|row| !row.passed()).filter_map(|row| row.worst().map(|worst| (row, worst)));
    if let Some((row, (what, error))) = failed.max_by(|a, b| a.1.1.total_cmp(&b.1.1)) {
        let what = if what == "output" { "the output".to_owned() } else { format!("the gradient of the {what}") };
        let of = row.layer.as_ref().map_or("the whole model".to_owned(), |layer| format!("layer {layer:?}"));
        let by = match row.way {
            Way::Implementation(implementation) => format!("implementation {}", implementation.name()),
            Way::Gpu => "the GPU".to_owned(),
            Way::Cpu => "the CPU executor".to_owned(),
        };
        let tolerance = row.tolerance;
        return Err(Failure::machine(format!(
            "{what} of {of} by {by} is off by {error:.1e} of the largest value, over {tolerance:e}"
        ))
        .with_help(match row.way {
            Way::Cpu => "the CPU executor computes wrongly here, which is a fault of this program",
            _ => "the kernels or the GPU's driver compute wrongly here; `--adapter` tries another one",
        }));
    }
    for row in rows {
        let ran = rows.iter().any(|other| other.layer == row.layer && other.errors.is_ok());
        if let (false, Err(error)) = (ran, &row.errors) {
            return Err(error.clone().into());
        }
    }
    Ok(())
}

fn to_text(args: &Verify, adapter: &str, rows: &[Row]) -> String {
    let mut table = table(["layer", "implementation", "output", "grad input", "grad kernel", "grad bias", ""]);
    for row in rows {
        let mut cells = vec![
            row.layer.clone().unwrap_or_else(|| "(whole model)".to_owned()),
            match row.way.number() {
                Some(number) => format!("{number} {}", row.way.name()),
                None => row.way.name().to_owned(),
            },
        ];
        match &row.errors {
            Ok(errors) => {
                cells.extend(errors.iter().map(|error| error.map_or(String::new(), |error| format!("{error:.1e}"))));
                cells.push(if row.passed() { "ok" } else { "WRONG" }.to_owned());
            }
            Err(error) => {
                cells.extend(std::iter::repeat_n(String::new(), RESULTS.len()));
                cells.push(format!("not run: {error}"));
            }
        }
        table.add_row(cells);
    }
    let mut text = format!(
        "{}: largest errors in parts of the largest value, batch {}, on {adapter}\n{table}\ntolerance {TOLERANCE:e}",
        args.source.model.display(),
        args.batch
    );
    if let Some(row) = rows.iter().find(|row| row.layer.is_none()) {
        text.push_str(&format!(", of the whole model {:.1e}", row.tolerance));
    }
    text.push('\n');
    text
}

fn to_json(args: &Verify, adapter: &str, rows: &[Row]) -> Value {
    let results: Vec<Value> = rows
        .iter()
        .map(|row| {
            // An infinite error stands for a NaN that shouldn't be there. JSON has no infinity, so it becomes null.
            let errors = row.errors.as_ref().ok().map(|errors| {
                RESULTS
                    .iter()
                    .zip(errors)
                    .map(|(name, error)| ((*name).to_owned(), json!(error)))
                    .collect::<serde_json::Map<_, _>>()
            });
            json!({
                // Null for the whole model.
                "layer": row.layer,
                // Null for layers that aren't locally connected, and for the CPU executor.
                "implementation": row.way.number(),
                "name": row.way.name(),
                "tolerance": row.tolerance,
                "ran": row.errors.is_ok(),
                "errors": errors,
                "passed": row.errors.is_ok().then(|| row.passed()),
                "reason": row.errors.as_ref().err().map(ToString::to_string),
            })
        })
        .collect();
    json!({
        "file": args.source.model.display().to_string(),
        "adapter": adapter,
        "batch": args.batch,
        "tolerance": TOLERANCE,
        "passed": verdict(rows).is_ok(),
        "results": results,
    })
}
