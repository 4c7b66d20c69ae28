//! Trainings: steps, fits, and what goes around them, on every executor.

mod callbacks;
mod data;
mod goals;
mod parameters;

use crate::common::{GPU, ReferenceRunner};
use locally_connected::headless::GpuRunner;
use locally_connected::model::{
    BatchNormalization, Dense, Flatten, Graph, Layer, Model, NoiseLayer, Sequential, Softmax, names,
};
use locally_connected::ops::{LossKind, Operation, RandomKind, Usage};
use locally_connected::train::{
    Better, Callback, Checkpoints, CsvLog, Data, EarlyStopping, Ema, Epoch, FanRule, FitOptions, Goal, Goals, History,
    Loss, Metric, Optimizer, RateByEpoch, Record, Rule, Runner, Schedule, State, Trainer, Training, initial_parameters,
};
use locally_connected::{
    Activation, Axes, Config, Constraint, Error, KerasLayout, Padding, Regularizer, Result, WeightType, cpu,
};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

const SPARSE: Loss = Loss::SparseCategoricalCrossentropy { from_logits: false };

/// Values in -1..1, in no order.
fn values(seed: u64, count: usize) -> Vec<f32> {
    (0..count as u64).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
}

/// A locally connected layer with everything that training may be asked of it, and a dense one.
fn graph() -> Graph {
    let local = Config::local2d(3, 2)
        .activation(Activation::Tanh)
        .kernel_regularizer(Regularizer::L1L2 { l1: 0.001, l2: 0.01 })
        .activity_regularizer(Regularizer::L2 { l2: 0.01 })
        .kernel_constraint(Constraint::MaxNorm { max_value: 0.8, axis: Axes::One(1) });
    let head = Layer::new(Dense::new(4).activation(Activation::Softmax)).named("head");
    let sequential = Sequential::new([4, 3, 2]).add(Layer::new(local).named("local")).add(Flatten::default());
    sequential.add(head.regularizer("bias", Regularizer::L2 { l2: 0.1 })).graph().expect("fits")
}

fn training(optimizer: Optimizer) -> Training {
    Training::new(&graph(), optimizer, Goal::new(SPARSE).metric(Metric::accuracy())).expect("fits")
}

fn data(samples: usize) -> (Vec<f32>, Vec<f32>) {
    let classes = (0..samples).map(|sample| ((sample * 7 + sample / 3) % 4) as f32).collect();
    (values(3, samples * 24), classes)
}

fn parameters(graph: &Graph) -> BTreeMap<String, Vec<f32>> {
    initial_parameters(graph, FanRule::PerPatch, 5).expect("drawn")
}

async fn fitted<R: Runner>(runner: R, training: Training, options: &FitOptions<'_>) -> Result<(History, State)> {
    let (x, y) = data(22);
    let first = parameters(training.graph());
    let mut trainer = Trainer::new(runner, training, &first).await?;
    let history = trainer.fit(&Data::new(&x, &y), options, &mut []).await?;
    Ok((history, trainer.state().await?))
}

fn fit<R: Runner>(runner: R, training: Training, options: &FitOptions<'_>) -> (History, State) {
    pollster::block_on(fitted(runner, training, options)).expect("it trains")
}

fn assert_near(what: &str, (history, state): &(History, State), (other, like): &(History, State), tolerance: f64) {
    let pairs = [(&state.parameters, &like.parameters), (&state.optimizer, &like.optimizer)];
    for (ours, theirs) in pairs {
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{what}");
        for (name, values) in ours {
            let theirs = &theirs[name];
            let largest = theirs.iter().fold(0.0f64, |most, &value| most.max(f64::from(value).abs()));
            for (at, (a, b)) in values.iter().zip(theirs).enumerate() {
                let far = f64::from(a - b).abs();
                assert!(far <= tolerance * largest.max(1e-6), "{what}: {name} at {at}: {a} for {b}");
            }
        }
    }
    for (ours, theirs) in history.epochs.iter().zip(&other.epochs) {
        for ((name, a), (_, b)) in ours.logs.iter().zip(theirs.logs.iter()) {
            assert!(
                (a - b).abs() <= tolerance * b.abs().max(1.0),
                "{what}: {name} of epoch {}: {a} for {b}",
                ours.number
            );
        }
    }
}

fn bits(state: &State) -> Vec<(&String, Vec<u32>)> {
    let all = state.parameters.iter().chain(&state.optimizer);
    all.map(|(name, values)| (name, values.iter().map(|value| value.to_bits()).collect())).collect()
}

fn threads(count: usize) -> cpu::Runner {
    let threads = cpu::Threads::own(NonZeroUsize::new(count).expect("some")).expect("a pool");
    cpu::Runner::new(cpu::Executor::new(threads))
}

/// One optimizer of each kind, with what else stands in a step.
fn optimizers() -> [(&'static str, Optimizer); 4] {
    let ema = Ema { momentum: 0.8, overwrite_frequency: Some(3) };
    [
        ("sgd", Optimizer::sgd().momentum(0.9).clipnorm(0.5)),
        ("adamw", Optimizer::adamw().learning_rate(0.01).global_clipnorm(1.0)),
        ("rmsprop", Optimizer::rmsprop().momentum(0.5).clipvalue(0.05)),
        (
            "ema",
            Optimizer::adam()
                .learning_rate(Schedule::PiecewiseConstant { boundaries: vec![2], values: vec![0.02, 0.01] })
                .ema(ema),
        ),
    ]
}

#[test]
fn fits_end_alike_on_every_executor() {
    let options = FitOptions::new().batch_size(8).epochs(2).validation_split(0.2);
    for (name, optimizer) in optimizers() {
        let training = training(optimizer).with_seed(9);
        let reference = fit(ReferenceRunner::default(), training.clone(), &options);
        assert_eq!(reference.0.epochs.len(), 2);
        let on_cpu = fit(cpu::Runner::default(), training.clone(), &options);
        assert_near(&format!("{name} on the host"), &on_cpu, &reference, 2e-4);
        let on_threads = fit(threads(3), training.clone(), &options);
        assert_eq!(bits(&on_cpu.1), bits(&on_threads.1), "{name}: three threads");
        let on_gpu = fit(GpuRunner::new(&GPU), training.clone(), &options);
        assert_near(&format!("{name} on the adapter"), &on_gpu, &reference, 2e-4);
        let again = fit(GpuRunner::new(&GPU), training, &options);
        assert_eq!(bits(&on_gpu.1), bits(&again.1), "{name}: once more on the adapter");
    }
}

#[test]
fn pieces_of_a_batch_are_the_batch() {
    for (name, optimizer) in optimizers() {
        let training = training(optimizer);
        let whole = FitOptions::new().batch_size(11).epochs(2);
        let pieces = whole.clone().at_once(4);
        let runners = || ReferenceRunner::default();
        let (a, b) = (fit(runners(), training.clone(), &whole), fit(runners(), training.clone(), &pieces));
        assert_near(&format!("{name}: pieces by the reference"), &b, &a, 1e-6);
        let (a, b) = (fit(threads(1), training.clone(), &whole), fit(threads(1), training.clone(), &pieces));
        assert_near(&format!("{name}: pieces on the host"), &b, &a, 2e-4);
        let gpu = || GpuRunner::new(&GPU);
        let (a, b) = (fit(gpu(), training.clone(), &whole), fit(gpu(), training, &pieces));
        assert_near(&format!("{name}: pieces on the adapter"), &b, &a, 2e-4);
    }
}

#[test]
fn a_budget_of_memory_cuts_batches() {
    let (training, options) = (training(Optimizer::adam()), FitOptions::new().batch_size(22).shuffle(false));
    let budget = training.step().samples_within(1 << 12) as u64;
    assert!(budget < 22, "{budget}");
    let whole = fit(cpu::Runner::default(), training.clone(), &options);
    let pieces = fit(cpu::Runner::default().with_sample_budget(1 << 12), training, &options);
    assert_near("within a budget", &pieces, &whole, 2e-4);
}

#[test]
fn batch_normalisation_is_trained_by_whole_batches() {
    let norm = BatchNormalization { axis: 0, epsilon: 1e-3, center: true, scale: true, momentum: 0.99 };
    let graph = |trainable| {
        let norm = Layer::new(norm).named("norm").trainable(trainable);
        Sequential::new([3]).add(norm).add(Dense::new(1)).graph().expect("fits")
    };
    let (x, y) = (values(1, 60), values(2, 20));
    for trainable in [true, false] {
        let graph = graph(trainable);
        let training = Training::new(&graph, Optimizer::sgd(), Loss::MeanSquaredError).expect("fits");
        let train = async {
            let mut trainer = Trainer::new(cpu::Runner::default(), training, &parameters(&graph)).await?;
            let options = FitOptions::new().batch_size(10).at_once(5);
            trainer.fit(&Data::new(&x, &y), &options, &mut []).await
        };
        match (trainable, pollster::block_on(train)) {
            // A frozen one goes by its moving statistics, so that samples don't depend on each other.
            (false, trained) => assert!(trained.is_ok(), "{trained:?}"),
            (true, Err(error)) => {
                assert!(error.to_string().contains("norm") && error.to_string().contains("pieces of 5"), "{error}")
            }
            (true, Ok(_)) => panic!("its batch was cut"),
        }
    }
}

#[test]
fn a_restored_training_goes_on_with_the_same_bits() {
    for name in ["host", "adapter"] {
        let run = |interrupted: bool| {
            let noise = NoiseLayer::new(RandomKind::Dropout { rate: 0.3 });
            let graph = Sequential::new([4, 3, 2])
                .add(Config::local2d(3, 2).activation(Activation::Tanh))
                .add(noise)
                .add(Flatten::default())
                .add(Dense::new(4).activation(Activation::Softmax))
                .graph()
                .expect("fits");
            let optimizer = Optimizer::adam().ema(Ema { momentum: 0.9, overwrite_frequency: None });
            let training = || Training::new(&graph, optimizer.clone(), SPARSE).expect("fits").with_seed(11);
            let (x, y) = data(30);
            let data = Data::new(&x, &y);
            let options = FitOptions::new().batch_size(8);
            let epochs = |from: usize, to: usize| options.clone().initial_epoch(from).epochs(to);
            async fn go<R: Runner>(
                trainer: &mut Trainer<R>,
                data: &Data<'_>,
                options: &FitOptions<'_>,
            ) -> Result<(History, State)> {
                let mut kept = None;
                let mut keep = Checkpoints::new(1, |state: &State, _: &Epoch| {
                    kept = Some(state.clone());
                    ControlFlow::Continue(())
                });
                let history = trainer.fit(data, options, &mut [&mut keep]).await?;
                Ok((history, kept.expect("each epoch's is kept")))
            }
            pollster::block_on(async {
                let first = parameters(&graph);
                if name == "host" {
                    let mut trainer = Trainer::new(cpu::Runner::default(), training(), &first).await?;
                    if !interrupted {
                        return go(&mut trainer, &data, &epochs(0, 4)).await;
                    }
                    let (_, state) = go(&mut trainer, &data, &epochs(0, 2)).await?;
                    let mut trainer = Trainer::new(cpu::Runner::default(), training().with_seed(1), &first).await?;
                    trainer.restore(&state).await?;
                    assert_eq!((trainer.epochs(), trainer.steps()), (2, 8));
                    go(&mut trainer, &data, &options.clone().epochs(4)).await
                } else {
                    let mut trainer = Trainer::new(GpuRunner::new(&GPU), training(), &first).await?;
                    if !interrupted {
                        return go(&mut trainer, &data, &epochs(0, 4)).await;
                    }
                    let (_, state) = go(&mut trainer, &data, &epochs(0, 2)).await?;
                    let mut trainer = Trainer::new(GpuRunner::new(&GPU), training(), &first).await?;
                    trainer.restore(&state).await?;
                    go(&mut trainer, &data, &options.clone().epochs(4)).await
                }
            })
            .expect("it trains")
        };
        let ((whole, end), (rest, resumed)) = (run(false), run(true));
        assert_eq!(bits(&end), bits(&resumed), "{name}");
        assert_eq!((end.steps, end.epochs, end.draws, end.seed), (16, 4, 16, 11));
        assert_eq!(end, resumed, "{name}");
        assert_eq!(whole.epochs[2..], rest.epochs, "{name}");
    }
}

#[test]
fn a_state_of_another_training_is_refused_and_changes_nothing() {
    let training = training(Optimizer::adam());
    let first = parameters(training.graph());
    pollster::block_on(async {
        let mut trainer = Trainer::new(cpu::Runner::default(), training, &first).await.expect("fits");
        let good = trainer.state().await.expect("there");
        let mut wrong = Vec::new();
        let mut less = good.clone();
        less.parameters.remove("head/bias");
        wrong.push((less, Error::NotGiven { name: "head/bias".into() }));
        let mut more = good.clone();
        more.optimizer.insert("head/bias/m2".into(), vec![0.0; 4]);
        wrong.push((more, Error::NoBuffer { name: "head/bias/m2".into() }));
        for (state, error) in wrong {
            assert_eq!(trainer.restore(&State { steps: 99, ..state }).await, Err(error));
        }
        let (value, limit) = (1 << 63, (1 << 63) - 1);
        let late = State { steps: 1 << 63, ..good.clone() };
        let error = Error::TooLarge { what: "the number of steps done", value, limit };
        assert_eq!(trainer.restore(&late).await, Err(error));
        let mut short = good.clone();
        short.optimizer.get_mut("head/kernel/v").expect("there").pop();
        assert!(trainer.restore(&short).await.expect_err("short").to_string().contains("head"));
        assert_eq!(trainer.state().await.expect("there"), good);
    });
}

#[test]
fn frozen_layers_stay_and_their_penalties_count() {
    let mut graph = graph();
    let penalty = |graph: &Graph| {
        let training = Training::new(graph, Optimizer::sgd(), SPARSE).expect("fits");
        let program = training.update();
        let updated: Vec<String> = program.used_as(Usage::Gradient).map(|buffer| buffer.name.clone()).collect();
        (program.find(names::PENALTIES).is_some(), updated, training.penalties().len())
    };
    assert_eq!(penalty(&graph).1.len(), 4);
    graph.set_trainable("local", false).expect("there");
    let (counts, updated, terms) = penalty(&graph);
    assert!(counts && terms == 3, "{terms}");
    assert_eq!(updated, ["head/grad_kernel", "head/grad_bias"]);
    let training = Training::new(&graph, Optimizer::adam(), SPARSE).expect("fits");
    let first = parameters(&graph);
    let (_, state) = fit(cpu::Runner::default(), training, &FitOptions::new().batch_size(8).epochs(2));
    assert_eq!(state.parameters["local/kernel"], first["local/kernel"]);
    assert_ne!(state.parameters["head/kernel"], first["head/kernel"]);
    graph.set_trainable("head", false).expect("there");
    let nothing = Training::new(&graph, Optimizer::adam(), SPARSE);
    assert!(matches!(nothing, Err(Error::Missing { what: "a parameter to train", .. })), "{nothing:?}");
    assert!(graph.set_trainable("nobody", true).is_err());
}
