//! `locally train`: Keras's `fit`.

mod checkpoint;
mod curves;
mod goals;
mod spec;
mod watch;

use crate::args::{Common, Named, Train};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::{arrays, device, model, output};
use checkpoint::{Checkpoint, Terms};
use locally_connected::model::End;
use locally_connected::train::{Data, FitOptions, Goal, Loss, Optimizer, Schedule, Trainer, Training};
use locally_connected_keras::compiled::{Compiled, OptimizerState};
use locally_connected_keras::npy::NpyArray;
use locally_connected_keras::{FileFormat, ModelFile, write_file};
use pollster::block_on;
use spec::Steps;
use std::path::PathBuf;
use watch::Watch;

/// Arrays by the names of the model's inputs or outputs.
type Arrays = Vec<(String, NpyArray)>;

pub(crate) fn train(common: &Common, args: &Train) -> Result<(), Failure> {
    let format = FileFormat::from_path(&args.output)?;
    let places = [Some(&args.output), args.log.as_ref(), args.plot.as_ref(), args.checkpoint.as_ref()];
    places.into_iter().flatten().try_for_each(|path| output::check_destination(path))?;
    args.checkpoint.as_deref().map_or(Ok(()), checkpoint::check_name)?;
    let progress = Progress::start(common.quiet, "reading the model");
    let mut file = model::open_whole(&args.source)?;
    let model = model::model(&file, None)?;
    let goals = goals::goals(args, file.compiled.as_ref(), &model.graph.outputs())?;
    let samples = Samples::read(args, &model.graph.inputs(), &model.graph.outputs(), &goals)?;
    let steps = Steps {
        epoch: samples.count.div_ceil(args.batch_size as usize) as u64,
        all: samples.count.div_ceil(args.batch_size as usize) as u64 * args.epochs,
        warmup: args.warmup,
    };
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
    let mut watch = Watch::new(common, args, (&file, &compiled), terms, &progress, samples.count);
    if let Some(resumed) = resumed {
        watch.go_on(resumed);
    }
    let mut options = FitOptions::new().batch_size(args.batch_size as usize).epochs(args.epochs as usize);
    options = options.shuffle(!args.no_shuffle);
    if let Some([inputs, targets]) = &samples.validation {
        options = options.validation(data(inputs, targets));
    }
    progress.set("training");
    let trained = match (watch.is_over(), watch.best()) {
        (true, best) => best.map_or(Ok(()), |best| block_on(trainer.set_parameters(best))),
        _ => block_on(trainer.fit(&data(&samples.inputs, &samples.targets), &options, &mut [&mut watch])).map(drop),
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

/// The optimizer that was asked for, or the file's.
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

/// How far the file's own optimizer has come, where it is the one that trains.
fn going_on<'f>(args: &Train, file: &'f ModelFile) -> Option<&'f OptimizerState> {
    file.compiled.as_ref()?.state.as_ref().filter(|_| args.optimizer.is_none())
}

/// What is trained on.
struct Samples {
    count: usize,
    inputs: Arrays,
    targets: Arrays,
    validation: Option<[Arrays; 2]>,
}

impl Samples {
    fn read(args: &Train, inputs: &[End<'_>], outputs: &[End<'_>], goals: &[(String, Goal)]) -> Result<Self, Failure> {
        // Class numbers stand for rows; an output without a loss has no target.
        let judged = outputs.iter().zip(goals).filter(|(_, (_, goal))| goal.loss.is_some());
        let wanted: Vec<End<'_>> = judged
            .map(|(end, (_, goal))| {
                let rows = end.shape.len().saturating_sub(usize::from(goal.loss.is_some_and(|loss| is_sparse(&loss))));
                End { name: end.name, shape: &end.shape[..rows] }
            })
            .collect();
        let pair = |x: &[Named], t: &[Named], what: [&str; 2]| {
            let x = arrays::read_ends(x, what[0], inputs, None)?;
            let count = x.first().and_then(|(_, array)| array.shape.first().copied()).unwrap_or(0);
            Ok::<_, Failure>((arrays::read_ends(t, what[1], &wanted, Some(count))?, x, count))
        };
        let (targets, inputs_read, count) = pair(&args.input, &args.target, ["the input", "the target"])?;
        if count == 0 {
            return Err(Failure::request("the input has no samples"));
        }
        let validation = match &args.validation[..] {
            [x, t] => {
                let whole = |path: &PathBuf| [Named { name: None, path: path.clone(), whole: path.clone() }];
                let (targets, inputs, count) =
                    pair(&whole(x), &whole(t), ["the validation's input", "the validation's target"])?;
                if count == 0 {
                    return Err(Failure::request("the validation's input has no samples"));
                }
                Some([inputs, targets])
            }
            _ => None,
        };
        Ok(Self { count, inputs: inputs_read, targets, validation })
    }
}

fn is_sparse(loss: &Loss) -> bool {
    matches!(loss, Loss::SparseCategoricalCrossentropy { .. })
}

fn data<'a>(inputs: &'a Arrays, targets: &'a Arrays) -> Data<'a> {
    let data = inputs.iter().fold(Data::default(), |data, (name, array)| data.input(name.clone(), &array.values));
    targets.iter().fold(data, |data, (name, array)| data.target(name.clone(), &array.values))
}
