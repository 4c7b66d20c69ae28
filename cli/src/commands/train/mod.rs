//! `locally train`: Keras's `fit`.

mod checkpoint;
mod curves;
mod goals;
mod samples;
mod spec;
mod watch;

use crate::args::{Common, Train};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::{device, model, output};
use checkpoint::{Checkpoint, Course, Terms};
use locally_connected::Error;
use locally_connected::train::{FitOptions, Optimizer, Runner, Schedule, Trainer, Training};
use locally_connected_keras::compiled::{AVERAGE, Compiled, OptimizerState};
use locally_connected_keras::{FileFormat, ModelFile, write_file};
use pollster::block_on;
use samples::{Samples, data};
use spec::Steps;
use std::collections::BTreeMap;
use watch::Watch;

pub(crate) fn train(common: &Common, args: &Train) -> Result<(), Failure> {
    let format = FileFormat::from_path(&args.output)?;
    let places = [Some(&args.output), args.log.as_ref(), args.plot.as_ref(), args.checkpoint.as_ref()];
    places.into_iter().flatten().try_for_each(|path| output::check_destination(path))?;
    args.checkpoint.as_deref().map_or(Ok(()), checkpoint::check_name)?;
    let progress = Progress::start(common.quiet, "reading the model");
    let mut file = model::open_whole(&args.source, &progress)?;
    let model = model::model(&file, None)?;
    let goals = goals::goals(args, file.compiled.as_ref(), &model.graph.outputs())?;
    let samples = Samples::read(args, &model.graph.inputs(), &model.graph.outputs(), &goals)?;
    let trained_on = samples.trained(args.validation_split)?;
    let epoch = trained_on.div_ceil(args.batch_size as usize) as u64;
    let steps = Steps { epoch, all: epoch * args.epochs, warmup: args.warmup };
    let optimizer = optimizer(args, &file, steps)?;
    let mut compiled = Compiled::new(&optimizer, &goals);
    let resumed = args.resume.as_deref().map(Checkpoint::read).transpose()?;
    let terms = Terms::new(args, &compiled, &samples);
    if let (Some(resumed), Some(path)) = (&resumed, &args.resume) {
        resumed.check(&terms, path)?;
    }

    progress.set("opening the device");
    let device = device::open(common)?;
    progress.set("sending the weights");
    let model = model.with_implementation(args.implementation.implementation());
    let training = Training::new(&model.graph, optimizer, goals)?.with_seed(args.shuffle);
    let mut trainer = block_on(Trainer::new(device.runner(), training, &model.parameters))?;
    let so_far = resumed.as_ref().map(|resumed| &resumed.optimizer).or(going_on(args, &file));
    if resumed.is_some() || so_far.is_some() {
        let mut state = block_on(trainer.state())?;
        if let Some(resumed) = &resumed {
            resumed.put_into(&mut state)?;
        }
        if let Some(so_far) = so_far {
            state.steps = so_far.iterations;
            for (name, values) in &mut state.optimizer {
                if let Some(found) = so_far.slots.get(name) {
                    values.clone_from(found);
                }
            }
        }
        block_on(trainer.restore(&state))?;
    }
    let course = Course { file: &file, compiled: &compiled, terms: &terms };
    let mut watch = Watch::new(common, args, course, &progress);
    if let Some(resumed) = resumed {
        watch.go_on(resumed);
    }
    let mut options = FitOptions::new().batch_size(args.batch_size as usize).epochs(args.epochs as usize);
    options = options.shuffle(!args.no_shuffle);
    if let Some([inputs, targets]) = &samples.validation {
        options = options.validation(data(inputs, targets));
    }
    if let Some(part) = args.validation_split {
        options = options.validation_split(part);
    }
    if !args.class_weight.is_empty() {
        options = options.class_weight(&args.class_weight);
    }
    progress.set("training");
    let done = trainer.epochs() >= args.epochs as usize;
    let trained = match (watch.is_over(), watch.best()) {
        (true, Some(best)) => block_on(end(&mut trainer, best.clone())),
        (over, _) if over || done => block_on(async {
            let parameters = trainer.parameters().await?;
            end(&mut trainer, parameters).await
        }),
        _ => block_on(trainer.fit(&samples.data(), &options, &mut [&mut watch])).map(drop),
    };
    let watched = watch.finish();
    trained?;
    watched?;
    progress.set("writing");
    let state = block_on(trainer.state())?;
    file.set_parameters(&state.parameters)?;
    compiled.state = Some(OptimizerState { iterations: state.steps, slots: state.optimizer });
    file.compiled = Some(compiled);
    Ok(write_file(&args.output, &file.to_bytes(format)?)?)
}

/// Ends a training that had already reached its end: if averages are kept, they replace these parameters.
async fn end<R: Runner>(trainer: &mut Trainer<R>, mut parameters: BTreeMap<String, Vec<f32>>) -> Result<(), Error> {
    let averages = trainer.state().await?.optimizer;
    for (name, values) in &mut parameters {
        if let Some(average) = averages.get(&format!("{name}/{AVERAGE}")) {
            values.clone_from(average);
        }
    }
    trainer.set_parameters(&parameters).await
}

/// The optimizer in the arguments, or the file's.
fn optimizer(args: &Train, file: &ModelFile, steps: Steps) -> Result<Optimizer, Failure> {
    let Some(text) = &args.optimizer else {
        let Some(compiled) = &file.compiled else {
            return Err(Failure::request("the model's file has no optimizer").with_help("--optimizer SPEC names one"));
        };
        let refused = |error| Failure::from(error).with_help("--optimizer SPEC names another than the file's");
        return compiled.optimizer().map_err(refused);
    };
    let optimizer = spec::optimizer(text)?;
    let rate = match (args.learning_rate, &optimizer.learning_rate) {
        (Some(rate), _) | (None, &Schedule::Constant(rate)) => rate,
        (None, _) => return Ok(optimizer),
    };
    let schedule = spec::schedule(args.schedule.as_deref(), rate, steps)?;
    Ok(optimizer.learning_rate(schedule))
}

/// The state of the file's optimizer, if that is the one that trains.
fn going_on<'f>(args: &Train, file: &'f ModelFile) -> Option<&'f OptimizerState> {
    file.compiled.as_ref()?.state.as_ref().filter(|_| args.optimizer.is_none())
}
