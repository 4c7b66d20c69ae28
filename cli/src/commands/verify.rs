//! `locally verify`: every implementation on this machine, and the CPU executor, against the reference.

mod expected;

use crate::args::{Common, Verify, number};
use crate::failure::Failure;
use crate::format::table;
use crate::progress::Progress;
use crate::{device, model, output};
use expected::Expected;
use locally_connected::headless::{self, Cpu, Device};
use locally_connected::model::{Model, names};
use locally_connected::{Error, Implementation};
use locally_connected_keras::{FileLayer, Local};
use pollster::block_on;
use serde_json::{Value, json};

/// The largest error allowed, in parts of the largest value.
const TOLERANCE: f64 = 2e-5;

/// The results compared, in the order of the errors.
const RESULTS: [&str; 4] = ["output", "input", "kernel", "bias"];

/// How far off each result of one implementation is; a layer without bias has no error there.
type Errors = [Option<f64>; 4];

struct Row {
    layer: String,
    /// None is the CPU executor.
    implementation: Option<Implementation>,
    /// Or why it doesn't run here.
    errors: Result<Errors, Error>,
}

impl Row {
    /// What ran, in a word.
    fn name(&self) -> &'static str {
        self.implementation.map_or(device::CPU, Implementation::name)
    }

    fn worst(&self) -> Option<(&'static str, f64)> {
        let errors = self.errors.as_ref().ok()?;
        let named = RESULTS.iter().zip(errors).filter_map(|(name, error)| error.map(|error| (*name, error)));
        named.max_by(|a, b| a.1.total_cmp(&b.1))
    }

    fn passed(&self) -> bool {
        self.worst().is_none_or(|(_, error)| error <= TOLERANCE)
    }
}

pub(crate) fn verify(common: &Common, args: &Verify) -> Result<(), Failure> {
    let progress = Progress::start(common.quiet, "reading the model");
    let mut file = model::open(&args.source, &progress)?;
    // What is frozen has gradients, too.
    file.locals_mut().for_each(|(_, local)| local.trainable = true);
    let layers: Vec<(&FileLayer, &Local)> = match &args.layer {
        Some(name) => {
            model::model(&file, Some(name))?;
            file.layer(name).and_then(|layer| Some((layer, layer.local()?))).into_iter().collect()
        }
        None => file.locals().collect(),
    };
    if layers.is_empty() {
        return Err(Failure::request(format!(
            "{}: the model has no locally connected layer that runs here",
            args.source.model.display()
        )));
    }
    let cpu = Device::Cpu(Cpu::new(&device::options(common))?);
    let gpu = match device::is_cpu(common) {
        true => None,
        false => match device::open_gpu(common) {
            Ok(gpu) => Some(Device::Gpu(Box::new(gpu))),
            // Where none was named the CPU executor will do.
            Err(Error::NoAdapter | Error::NoBackend { .. }) if headless::wanted(common.adapter()).is_none() => None,
            Err(error) => return Err(error.into()),
        },
    };
    let mut rows = Vec::new();
    for (layer, local) in layers {
        progress.set(format!("{}: the reference", layer.name));
        let expected = Expected::new(local, args.batch)?;
        let model = model::model(&file, Some(&layer.name))?;
        let ways = gpu.iter().flat_map(|gpu| Implementation::ALL.map(|implementation| (gpu, Some(implementation))));
        for (device, implementation) in ways.chain([(&cpu, None)]) {
            let mut row = Row { layer: layer.name.clone(), implementation, errors: Ok([None; 4]) };
            progress.set(format!("{}: {}", layer.name, row.name()));
            let model = match implementation {
                Some(implementation) => &model.clone().with_implementation(implementation),
                None => &model,
            };
            row.errors = match run(device, model, &layer.name, &expected) {
                Err(error) if is_refusal(error.cause()) => Err(error.cause().clone()),
                other => Ok(other?),
            };
            rows.push(row);
        }
    }
    drop(progress);
    let adapter = match &gpu {
        Some(Device::Gpu(gpu)) => device::describe(&gpu.adapter().get_info()),
        _ => device::describe_cpu(common),
    };
    if args.json {
        output::print_json(&to_json(args, &adapter, &rows))?;
    } else {
        output::print(&to_text(args, &adapter, &rows))?;
    }
    verdict(&rows)
}

fn run(device: &Device, model: &Model, layer: &str, expected: &Expected) -> Result<Errors, Error> {
    let loaded = block_on(device.upload(model))?;
    let output = block_on(loaded.run(&expected.input))?;
    let gradients = block_on(loaded.gradients(&expected.input, &expected.grad_output))?;
    let Some(grad_weights) = gradients.parameters.get(&names::gradient(layer, "kernel")) else {
        return Err(Error::Missing { what: "the layer's gradients", why: "they are compared" });
    };
    let grad_bias = gradients.parameters.get(&names::gradient(layer, "bias"));
    Ok([
        Some(expected.output.error(&output)),
        Some(expected.grad_input.error(&gradients.input)),
        Some(expected.grad_weights.error(grad_weights)),
        grad_bias.map(|grad_bias| expected.grad_bias.error(grad_bias)),
    ])
}

/// Whether a layer can't be run in this way, on this machine or at all.
fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Unsupported { .. } | Error::Limit { .. } | Error::OverBudget { .. })
}

/// Fails on the worst error over the tolerance, and where a layer ran in no way at all.
fn verdict(rows: &[Row]) -> Result<(), Failure> {
    let failed = rows.iter().filter(|row| !row.passed()).filter_map(|row| row.worst().map(|worst| (row, worst)));
    if let Some((row, (what, error))) = failed.max_by(|a, b| a.1.1.total_cmp(&b.1.1)) {
        let what = if what == "output" { "the output".to_owned() } else { format!("the gradient of the {what}") };
        return Err(Failure::machine(format!(
            "{what} of layer {:?} by {} is off by {error:.1e} of the largest value, over {TOLERANCE:e}",
            row.layer,
            match row.implementation {
                Some(implementation) => format!("implementation {}", implementation.name()),
                None => "the CPU executor".to_owned(),
            },
        ))
        .with_help(match row.implementation {
            Some(_) => "the kernels or the GPU's driver compute wrongly here; `--adapter` tries another one",
            None => "the CPU executor computes wrongly here, which is a fault of this program",
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
            row.layer.clone(),
            match row.implementation.map(number) {
                Some(number) => format!("{number} {}", row.name()),
                None => row.name().to_owned(),
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
    format!(
        "{}: largest errors in parts of the largest value, batch {}, on {adapter}\n{table}\ntolerance {TOLERANCE:e}\n",
        args.source.model.display(),
        args.batch
    )
}

fn to_json(args: &Verify, adapter: &str, rows: &[Row]) -> Value {
    let results: Vec<Value> = rows
        .iter()
        .map(|row| {
            // JSON has no infinity, which stands for a NaN where there should be none; it becomes null.
            let errors = row.errors.as_ref().ok().map(|errors| {
                RESULTS
                    .iter()
                    .zip(errors)
                    .map(|(name, error)| ((*name).to_owned(), json!(error)))
                    .collect::<serde_json::Map<_, _>>()
            });
            json!({
                "layer": row.layer,
                // None is the CPU executor.
                "implementation": row.implementation.map(number),
                "name": row.name(),
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
