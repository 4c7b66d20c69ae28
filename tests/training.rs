//! Trainings: steps, fits, and what goes around them, on every executor.

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

/// The kinds of losses in a step, and whether the step computes a softmax or a sigmoid at all.
fn judged(graph: &Graph, goal: Goal) -> (Vec<LossKind>, bool) {
    let program = Training::new(graph, Optimizer::sgd(), goal).expect("fits").step();
    let activates = program.operations.iter().any(|operation| {
        let one = |activation: Activation| matches!(activation, Activation::Softmax | Activation::Sigmoid);
        match operation {
            Operation::Activate(activate) => one(activate.activation),
            Operation::LocalForward(forward) => one(forward.activation),
            _ => false,
        }
    });
    let losses = program.operations.iter().filter_map(|operation| match operation {
        Operation::LossGrad(loss) => Some(loss.kind),
        _ => None,
    });
    (losses.collect(), activates)
}

#[test]
fn crossentropies_take_logits_where_keras_does() {
    let before = || Sequential::new([6]);
    let dense = |activation| Dense::new(4).activation(activation);
    let softmax = Activation::Softmax;
    let sparse = |from_logits| LossKind::SparseCategoricalCrossentropy { from_logits };
    let binary = |from_logits| LossKind::BinaryCrossentropy { from_logits, label_smoothing: 0.0 };
    let cases = [
        ("in the layer", before().add(dense(softmax)), sparse(false), sparse(true), false),
        ("in a layer of its own", before().add(Dense::new(4)).add(softmax), sparse(false), sparse(true), false),
        (
            "Keras's layer",
            before().add(Dense::new(4)).add(Softmax { axes: vec![0] }),
            sparse(false),
            sparse(true),
            false,
        ),
        // Keras looks for the operation of that layer only in the losses that are of softmax.
        (
            "Keras's layer, binary",
            before().add(Dense::new(4)).add(Softmax { axes: vec![0] }),
            binary(false),
            binary(false),
            true,
        ),
        // The functions keep what they are given for every crossentropy.
        ("a sigmoid of classes", before().add(dense(Activation::Sigmoid)), sparse(false), sparse(true), false),
        ("a softmax of bits", before().add(dense(softmax)), binary(false), binary(true), false),
        ("asked for all the same", before().add(dense(softmax)), sparse(true), sparse(true), false),
        (
            "behind it a flatten",
            before().add(dense(softmax)).add(Flatten::default()),
            sparse(false),
            sparse(false),
            true,
        ),
        ("none", before().add(dense(Activation::Softplus)), sparse(false), sparse(false), false),
        ("another loss", before().add(dense(softmax)), Loss::MeanSquaredError, Loss::MeanSquaredError, true),
    ];
    for (name, model, loss, expected, activates) in cases {
        let graph = model.graph().expect("fits");
        assert_eq!(judged(&graph, Goal::new(loss)), (vec![expected], activates), "{name}");
    }
    // Accuracy is of the output, which is computed for it then; of a layer that is called twice both calls are apart.
    let graph = before().add(dense(softmax)).graph().expect("fits");
    assert_eq!(judged(&graph, Goal::new(sparse(false)).metric(Metric::accuracy())), (vec![sparse(true)], true));
    let mut graph = Graph::new();
    let x = graph.input([4]).expect("fits");
    let once = graph.add(Layer::new(dense(softmax)).named("twice"), &[x]).expect("fits");
    let twice = graph.call(once, &[once]).expect("fits");
    graph.output(twice);
    assert_eq!(judged(&graph, Goal::new(sparse(false))), (vec![sparse(true)], true));
    let step = Training::new(&graph, Optimizer::sgd(), sparse(false)).expect("fits").step();
    assert!(step.find("twice/kernel").is_some() && step.find("twice/activation/kernel").is_none());
    step.check().expect("sound");
}

#[test]
fn memory_is_known_before() {
    for (name, optimizer) in optimizers() {
        let training = training(optimizer);
        for program in [training.step(), training.gradients(), training.update(), training.evaluation()] {
            program.check().unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        training.store().check().expect("sound");
        let bytes = training.step().bytes(32);
        assert!(bytes > training.evaluation().bytes(32) && bytes < 1 << 20, "{name}: {bytes}");
    }
    // Adam keeps two numbers of each parameter, SGD without momentum none.
    let kept = |optimizer| training(optimizer).store().used_as(Usage::State).map(|buffer| buffer.bytes(0)).sum::<u64>();
    let parameters: u64 =
        training(Optimizer::sgd()).store().used_as(Usage::Parameter).map(|buffer| buffer.bytes(0)).sum();
    assert_eq!((kept(Optimizer::adam()), kept(Optimizer::sgd())), (2 * parameters, 0));
}

#[test]
fn what_can_t_be_trained_is_refused() {
    let refused = |config: Config| {
        let sequential = Sequential::new([4, 3, 2]).add(Layer::new(config).named("local"));
        let graph = sequential.graph().expect("it predicts");
        Training::new(&graph, Optimizer::sgd(), Loss::MeanSquaredError).expect_err("refused").to_string()
    };
    let config = || Config::local2d(3, 2);
    for (error, word) in [
        (refused(config().dtype(WeightType::F16)), "16 bits"),
        (refused(config().kernel_regularizer(Regularizer::Custom("mine".into()))), "mine"),
        (refused(config().activity_regularizer(Regularizer::Custom("mine".into()))), "mine"),
        (refused(config().kernel_constraint(Constraint::Custom("mine".into()))), "mine"),
        (refused(config().kernel_constraint(Constraint::Radial)), "radial"),
        (refused(config().kernel_constraint(Constraint::UnitNorm { axis: Axes::One(3) })), "axis"),
        (
            refused(config().kernel_regularizer(Regularizer::Orthogonal { factor: 0.1, mode: Default::default() })),
            "orthogonal",
        ),
    ] {
        assert!(error.contains(word) && error.contains("local"), "{error}");
    }
    let graph = graph();
    let train = |optimizer: Optimizer, goals: Goals| Training::new(&graph, optimizer, goals);
    let missing = train(Optimizer::sgd(), Goal::default().metric(Metric::accuracy()).into());
    assert!(matches!(missing, Err(Error::Missing { what: "a loss", .. })), "{missing:?}");
    let unknown = train(Optimizer::sgd(), [("nobody", Goal::new(SPARSE))].into());
    assert_eq!(unknown, Err(Error::NoBuffer { name: "nobody".into() }));
    let otherwise = Metric::from_keras_name("categorical_accuracy").expect("Keras's");
    let mixed = train(Optimizer::sgd(), Goal::new(SPARSE).metric(otherwise).into());
    assert!(mixed.expect_err("class numbers are no vectors").to_string().contains("categorical_accuracy"));
    assert!(train(Optimizer::sgd().clipnorm(1.0).global_clipnorm(1.0), SPARSE.into()).is_err());
    assert!(train(Optimizer::sgd().momentum(1.5), SPARSE.into()).is_err());
    let twice = Goal::new(SPARSE).metric(Metric::accuracy()).metric(Metric::accuracy());
    assert!(train(Optimizer::sgd(), twice.into()).is_err());
    // Custom rules keep nobody from predicting, and a regularizer of no parameter is refused at once.
    let nothing = Sequential::new([3]).add(Layer::new(Dense::new(2)).regularizer("gamma", Regularizer::L1 { l1: 0.1 }));
    assert!(nothing.graph().is_err());
}

#[test]
fn names_are_keras_s() {
    assert_eq!(Optimizer::from_keras_name("ADAM"), Ok(Optimizer::adam()));
    assert_eq!(Optimizer::from_keras_name("RMSprop"), Ok(Optimizer::rmsprop()));
    assert_eq!(Optimizer::from_keras_name("SGD").expect("Keras's").rule, Rule::Sgd { momentum: 0.0, nesterov: false });
    // Keras 2.15 doesn't find it either.
    assert!(matches!(Optimizer::from_keras_name("adamw"), Err(Error::UnknownValue { .. })));
    assert!(matches!(Optimizer::from_keras_name("Nadam"), Err(Error::Unsupported { .. })));
    assert_eq!(Loss::from_keras_name("mse"), Ok(Loss::MeanSquaredError));
    assert_eq!(Loss::from_keras_name("SparseCategoricalCrossentropy"), Ok(SPARSE));
    assert!(matches!(Loss::from_keras_name("Hinge"), Err(Error::Unsupported { .. })));
    assert!(matches!(Loss::from_keras_name("sse"), Err(Error::UnknownValue { .. })));
    assert_eq!(Metric::from_keras_name("acc").expect("Keras's").name, "acc");
    assert!(matches!(Metric::from_keras_name("auc"), Err(Error::UnknownValue { .. })));
    let named = |goals: Goals| {
        let training = Training::new(&graph(), Optimizer::sgd(), goals).expect("fits");
        let all: Vec<String> = training.step().used_as(Usage::Output).map(|buffer| buffer.name.clone()).collect();
        all
    };
    let goal = Goal::new(SPARSE).metric(Metric::accuracy()).weighted_metric(Metric::accuracy());
    assert_eq!(named(goal.into()), ["loss", "metric/accuracy", "metric/weighted_accuracy", "activity", "penalties"]);
}

#[test]
fn data_that_doesn_t_fit_is_refused_before_anything_is_trained() {
    let training = training(Optimizer::sgd());
    let first = parameters(training.graph());
    let (x, y) = data(6);
    let (short, far, negative) = (&y[..5], [4.0; 6], [-1.0; 6]);
    pollster::block_on(async {
        let mut trainer = Trainer::new(cpu::Runner::default(), training, &first).await.expect("fits");
        let options = FitOptions::new();
        let good = Data::new(&x, &y);
        for (what, data, options) in [
            ("a short target", Data::new(&x, short), options.clone()),
            ("no such class", Data::new(&x, &far), options.clone()),
            ("no class", Data::new(&x, &negative), options.clone()),
            ("a short input", Data::new(&x[1..], &y), options.clone()),
            ("no samples", Data::new(&[], &[]), options.clone()),
            ("no target", Data::default().input("", &x), options.clone()),
            ("an unknown input", good.clone().input("other", &x), options.clone()),
            ("weights of another number", good.clone().sample_weight(short), options.clone()),
            ("a batch of none", good.clone(), options.clone().batch_size(0)),
            ("nothing left to train on", good.clone(), options.clone().validation_split(1.0)),
            ("nothing left to validate by", good.clone(), options.clone().validation_split(-0.5)),
            ("a class without a weight", good.clone(), options.clone().class_weight(&[1.0, 2.0])),
        ] {
            assert!(trainer.fit(&data, &options, &mut []).await.is_err(), "{what}");
        }
        assert_eq!(trainer.steps(), 0);
        assert_eq!(trainer.parameters().await.expect("there"), first);
        let mut wrong = first.clone();
        wrong.remove("local/bias");
        assert_eq!(trainer.set_parameters(&wrong).await, Err(Error::NotGiven { name: "local/bias".into() }));
        let history = trainer.fit(&good, &options.epochs(2).validation_split(0.5), &mut []).await.expect("it trains");
        assert_eq!(history.get("val_loss").len(), 2);
        assert_eq!((trainer.steps(), trainer.epochs()), (2, 2));
    });
}

#[test]
fn weights_of_samples_and_classes_multiply() {
    // A sample of weight 0 changes nothing, one of weight 2 counts twice.
    let training = || Training::new(&graph(), Optimizer::sgd(), SPARSE).expect("fits");
    let (x, y) = data(8);
    let class_weights = [1.0, 0.5, 2.0, 0.0];
    let by_hand: Vec<f32> = y.iter().map(|&class| class_weights[class as usize] * 0.5).collect();
    let halves = [0.5; 8];
    let run = |weights: Vec<f32>, classes: Option<&[f32]>| {
        pollster::block_on(async {
            let first = parameters(&graph());
            let mut trainer = Trainer::new(cpu::Runner::default(), training(), &first).await?;
            let mut options = FitOptions::new().shuffle(false);
            options.class_weight = classes;
            let history = trainer.fit(&Data::new(&x, &y).sample_weight(&weights), &options, &mut []).await?;
            Ok::<_, Error>((history, trainer.state().await?))
        })
        .expect("it trains")
    };
    assert_eq!(run(halves.to_vec(), Some(&class_weights)), run(by_hand.clone(), None));
    assert_ne!(run(halves.to_vec(), None), run(by_hand, None));
}

#[test]
fn a_loss_that_isn_t_finite_ends_a_training() {
    let training = training(Optimizer::sgd());
    let (mut x, y) = data(24);
    x[17 * 24 + 3] = f32::NAN;
    let (host, adapter) = pollster::block_on(async {
        let first = parameters(training.graph());
        let options = FitOptions::new().batch_size(8).shuffle(false);
        let mut trainer = Trainer::new(cpu::Runner::default(), training.clone(), &first).await.expect("fits");
        let host = trainer.fit(&Data::new(&x, &y), &options, &mut []).await;
        let mut trainer = Trainer::new(GpuRunner::new(&GPU), training, &first).await.expect("fits");
        (host, trainer.fit(&Data::new(&x, &y), &options, &mut []).await)
    });
    for result in [host, adapter] {
        assert!(matches!(result, Err(Error::NotFinite { step: 3, loss }) if loss.is_nan()), "{result:?}");
    }
}

/// Tells a callback of epochs with these losses: the number of the last.
fn told(callback: &mut dyn Callback, losses: &[f64]) -> usize {
    for (number, &loss) in losses.iter().enumerate() {
        let logs = [("val_loss".to_owned(), loss), ("loss".to_owned(), 1.0)].into_iter().collect();
        let epoch = Epoch { number, steps: number as u64 + 1, learning_rate: 0.1, logs };
        let state = State { steps: epoch.steps, ..State::default() };
        let state = callback.wants_state(&epoch).then_some(&state);
        if callback.on_epoch(&Record { epoch: &epoch, state }).is_break() {
            return number;
        }
    }
    losses.len()
}

#[test]
fn early_stopping_is_keras_s() {
    let losses = [5.0, 4.0, 4.5, 3.95, 4.2, 4.1, 4.3, 1.0];
    assert_eq!(told(&mut EarlyStopping::new("val_loss"), &losses), 2);
    assert_eq!(told(&mut EarlyStopping::new("val_loss").patience(3), &losses), 6);
    // 3.95 isn't better enough than 4.
    assert_eq!(told(&mut EarlyStopping::new("val_loss").patience(3).min_delta(0.1), &losses), 4);
    assert_eq!(told(&mut EarlyStopping::new("val_loss").start_from_epoch(6), &losses), 8);
    assert_eq!(told(&mut EarlyStopping::new("val_loss").better(Better::Higher), &losses), 1);
    assert_eq!(told(&mut EarlyStopping::new("val_loss").baseline(2.0).patience(2), &losses), 2);
    assert_eq!(told(&mut EarlyStopping::new("val_accuracy"), &losses), 8);
    let mut best = EarlyStopping::new("val_loss").patience(3).restore_best();
    assert_eq!(told(&mut best, &losses), 6);
    assert_eq!((best.best_epoch(), best.has_stopped()), (Some(3), true));
    assert_eq!(best.restores().map(|state| state.steps), Some(4));
    assert_eq!(told(&mut EarlyStopping::new("val_loss").restore_best(), &[f64::NAN, f64::NAN]), 1);
}

#[test]
fn the_best_weights_are_put_back() {
    let training = training(Optimizer::sgd().learning_rate(0.2));
    let (x, y) = data(16);
    pollster::block_on(async {
        let first = parameters(training.graph());
        let mut trainer = Trainer::new(cpu::Runner::default(), training, &first).await.expect("fits");
        // Of falling losses each is worse than the one before where more is better: the first epoch's weights are the best.
        let mut stopping = EarlyStopping::new("loss").better(Better::Higher).patience(2).restore_best();
        let mut states = Vec::new();
        let mut keep = Checkpoints::new(1, |state: &State, _: &Epoch| {
            states.push(state.clone());
            ControlFlow::Continue(())
        });
        let mut csv = CsvLog::new(Vec::new());
        let options = FitOptions::new().batch_size(16).epochs(10).shuffle(false);
        let callbacks: &mut [&mut dyn Callback] = &mut [&mut stopping, &mut keep, &mut csv];
        let history = trainer.fit(&Data::new(&x, &y), &options, callbacks).await.expect("it trains");
        assert_eq!((history.epochs.len(), states.len()), (3, 3));
        assert_eq!(trainer.parameters().await.expect("there"), states[0].parameters);
        let text = String::from_utf8(csv.finish().expect("written")).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "epoch,accuracy,loss");
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[2].split(',').nth(2).expect("a loss").parse(), Ok(history.get("loss")[1]));
    });
}

/// A model that runs somewhere is trained there: its parameters don't come to the host and go back.
#[test]
fn held_parameters_are_trained_where_they_are() {
    let (x, y) = data(22);
    let ema = Ema { momentum: 0.5, overwrite_frequency: None };
    let training = || training(Optimizer::adam().ema(ema));
    let options = FitOptions::new().batch_size(8).epochs(2);
    let (_, expected) = fit(cpu::Runner::default(), training(), &options);
    pollster::block_on(async {
        let mut runner = cpu::Runner::default();
        runner.hold(&training().store()).await.expect("there is room");
        for (name, values) in parameters(training().graph()) {
            runner.write(&name, &values).await.expect("it is held");
        }
        let mut trainer = Trainer::of_held(runner, training()).await.expect("fits");
        trainer.fit(&Data::new(&x, &y), &options, &mut []).await.expect("it trains");
        assert_eq!(bits(&trainer.state().await.expect("there")), bits(&expected));
    });
}

/// A layer's own weights are drawn as Keras draws what it stores, whatever the layer is executed by.
#[test]
fn weights_are_drawn_for_the_layout_that_stores_them() {
    let graph = |layout| {
        let local = Layer::new(Config::local1d(4, 3)).named("local").stored_in(layout);
        Sequential::new([9, 2]).add(local).graph().expect("fits")
    };
    let drawn = |layout| initial_parameters(&graph(layout), FanRule::Keras, 5).expect("drawn").remove("local/kernel");
    let executed = Config::local1d(4, 3).implementation(locally_connected::Implementation::SparseGather);
    let executed = Sequential::new([9, 2]).add(Layer::new(executed).named("local")).graph().expect("fits");
    let executed = initial_parameters(&executed, FanRule::Keras, 5).expect("drawn").remove("local/kernel");
    assert_eq!(drawn(KerasLayout::Implementation3), executed);
    assert_ne!(drawn(KerasLayout::Implementation1), executed);
}

#[test]
fn callbacks_set_rates_and_batches_are_trained_one_by_one() {
    let training = training(Optimizer::sgd().learning_rate(0.5));
    let (x, y) = data(16);
    pollster::block_on(async {
        let first = parameters(training.graph());
        let mut by_epoch = Trainer::new(cpu::Runner::default(), training.clone(), &first).await.expect("fits");
        let options = FitOptions::new().batch_size(16).epochs(2).shuffle(false);
        let mut rates = RateByEpoch(|epoch: usize, rate: f32| if epoch == 0 { 0.0 } else { rate });
        let data = Data::new(&x, &y);
        let history = by_epoch.fit(&data, &options, &mut [&mut rates]).await.expect("it trains");
        assert_eq!(history.epochs.iter().map(|epoch| epoch.learning_rate).collect::<Vec<_>>(), [0.0, 0.5]);
        let mut by_hand = Trainer::new(cpu::Runner::default(), training, &first).await.expect("fits");
        let logs = by_hand.train_on_batch(&data).await.expect("it trains");
        // The first of the two steps changed nothing but what constraints ask for.
        assert!((logs.get("loss").expect("it") - history.get("loss")[0]).abs() < 1e-9);
        assert_eq!(by_hand.steps(), 1);
    });
}

#[test]
fn predictions_and_evaluations() {
    let training = training(Optimizer::adam());
    let (x, y) = data(13);
    pollster::block_on(async {
        let first = parameters(training.graph());
        let mut host = Trainer::new(cpu::Runner::default(), training.clone(), &first).await.expect("fits");
        let mut adapter = Trainer::new(GpuRunner::new(&GPU), training.clone(), &first).await.expect("fits");
        let all = host.predict(&[("input", &x)], 5).await.expect("it predicts").remove("head").expect("the output");
        assert_eq!(all.len(), 13 * 4);
        for row in all.chunks_exact(4) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
        let there = adapter.predict(&[("input", &x)], 13).await.expect("it predicts").remove("head").expect("it");
        assert!(all.iter().zip(&there).all(|(a, b)| (a - b).abs() < 1e-5));
        let logs = host.evaluate(&Data::new(&x, &y), 4).await.expect("it evaluates");
        let right = all.chunks_exact(4).zip(&y).filter(|(row, class)| {
            let largest = row.iter().copied().fold(0.0, f32::max);
            row[**class as usize] == largest
        });
        assert_eq!(logs.get("accuracy"), Some(right.count() as f64 / 13.0));
        let likelihood = all.chunks_exact(4).zip(&y).map(|(row, &class)| -f64::from(row[class as usize]).ln());
        let loss = logs.get("loss").expect("a loss");
        // Penalties are in it.
        assert!(loss > likelihood.sum::<f64>() / 13.0 + 1e-3, "{loss}");
        let there = adapter.evaluate(&Data::new(&x, &y), 13).await.expect("it evaluates");
        // Activity is divided by the batch, of which there are several there.
        assert!((there.get("accuracy").expect("it") - logs.get("accuracy").expect("it")).abs() < 1e-9);
        assert_eq!(host.parameters().await.expect("there"), first);
    });
}

/// The examples of Keras's documentation, as a base layer answers.
#[test]
fn the_documentation_s_examples() {
    let graph =
        Sequential::new([32, 32, 3]).add(Config::local2d(64, 3)).add(Config::local2d(32, 3)).graph().expect("fits");
    let names: Vec<&str> = graph.layers().iter().map(locally_connected::model::GraphLayer::name).collect();
    assert_eq!(names, ["locally_connected2d", "locally_connected2d_1"]);
    let shapes: Vec<_> = graph.geometries().map(|(_, geometry)| geometry.output_shape()).collect();
    assert_eq!(shapes, [[30, 30, 64], [28, 28, 32]]);
    assert_eq!(graph.compute_output_shape(7), [[7, 28, 28, 32]]);
    let first: u64 = graph.layer_weights(names[0]).expect("there").iter().map(|weight| weight.elements()).sum();
    assert_eq!(first, 1_612_800);
    let weights = graph.weights();
    assert_eq!(weights[0].shape, [900, 27, 64]);
    assert_eq!(weights[1].shape, [30, 30, 64]);
    assert_eq!(graph.count_params(), 1_612_800 + 28 * 28 * (9 * 64 * 32 + 32));
    let graph =
        Sequential::new([10, 32]).add(Config::local1d(64, 3)).add(Config::local1d(32, 3)).graph().expect("fits");
    let shapes: Vec<_> = graph.geometries().map(|(_, geometry)| geometry.output_shape()).collect();
    assert_eq!(shapes, [[8, 64], [6, 32]]);
    assert_eq!(graph.compute_output_shape(1), [[1, 6, 32]]);
}

#[test]
fn weights_are_taken_all_or_none_in_the_configured_layout() {
    let graph = |implementation: Option<locally_connected::Implementation>| {
        let config = Config::local1d(2, 2).implementation(implementation);
        Sequential::new([4, 1]).add(Layer::new(config).named("local")).add(Dense::new(1)).graph().expect("fits")
    };
    let model = |graph: &Graph| Model { graph: graph.clone(), parameters: parameters(graph) };
    use locally_connected::Implementation::{DenseMatmul, Loop, SparseGather};
    for (implementation, shape, count) in
        [(Loop, vec![3, 2, 2], 12), (DenseMatmul, vec![4, 1, 3, 2], 24), (SparseGather, vec![12], 12)]
    {
        let graph = graph(Some(implementation));
        let mut model = model(&graph);
        let weights = graph.layer_weights("local").expect("there");
        assert_eq!((weights[0].shape.clone(), weights[0].elements()), (shape, count));
        // Whatever it is executed by.
        let executed = graph.clone().with_implementation(None);
        assert_eq!(executed.layer_weights("local"), Ok(weights));
        assert_eq!(executed.count_params(), count + 6 + 3);
        let got = model.get_weights("local").expect("there");
        assert_eq!(got.iter().map(Vec::len).collect::<Vec<_>>(), [count as usize, 6]);
        let before = model.clone();
        let wrong = [got[0].clone(), vec![1.0; 5]];
        assert!(model.set_weights("local", &wrong).is_err() && model == before);
        assert!(model.set_weights("local", &got[..1]).is_err() && model == before);
        let doubled: Vec<Vec<f32>> =
            got.iter().map(|values| values.iter().map(|value| 2.0 * value).collect()).collect();
        model.set_weights("local", &doubled).expect("they fit");
        assert_eq!(model.get_weights("local"), Ok(doubled.clone()));
        // A layer may bring them along.
        let config = Config::local1d(2, 2).implementation(implementation);
        let brought = Sequential::new([4, 1]).add(Layer::new(config.clone()).named("local").weights(doubled.clone()));
        let brought = brought.graph().expect("they fit");
        let parameters = initial_parameters(&brought, FanRule::Keras, 0).expect("given");
        assert_eq!(Model { graph: brought, parameters }.get_weights("local"), Ok(doubled.clone()));
        let wrong = Sequential::new([5, 1]).add(Layer::new(config).named("local").weights(doubled));
        assert!(wrong.graph().is_err());
    }
    let same = Config::local1d(2, 2).padding(Padding::Same);
    assert_eq!(KerasLayout::of(&same), KerasLayout::Implementation3);
    let mut graph = graph(None);
    graph.set_trainable("local", false).expect("there");
    let order: Vec<_> = graph.weights().into_iter().map(|weight| (weight.name, weight.trainable)).collect();
    let names = ["dense/kernel", "dense/bias", "local/kernel", "local/bias"];
    assert_eq!(order, names.map(str::to_owned).into_iter().zip([true, true, false, false]).collect::<Vec<_>>());
}

#[test]
fn schedules_by_hand() {
    let at = |schedule: &Schedule, steps: &[u64]| steps.iter().map(|&step| schedule.at(step)).collect::<Vec<_>>();
    let piecewise = Schedule::PiecewiseConstant { boundaries: vec![2, 5], values: vec![0.5, 0.25, 0.125] };
    assert_eq!(at(&piecewise, &[0, 2, 3, 5, 6]), [0.5, 0.5, 0.25, 0.25, 0.125]);
    let warm = Schedule::CosineDecay {
        initial_learning_rate: 0.0,
        decay_steps: 10,
        alpha: 0.5,
        warmup_target: Some(1.0),
        warmup_steps: 4,
    };
    assert_eq!(at(&warm, &[0, 2, 4, 9, 14, 99]), [0.0, 0.5, 1.0, 0.75, 0.5, 0.5]);
    let linear = Schedule::PolynomialDecay {
        initial_learning_rate: 1.0,
        decay_steps: 4,
        end_learning_rate: 0.5,
        power: 1.0,
        cycle: true,
    };
    assert_eq!(at(&linear, &[0, 2, 4, 6]), [1.0, 0.75, 0.5, 0.625]);
    let inverse =
        Schedule::InverseTimeDecay { initial_learning_rate: 1.0, decay_steps: 2, decay_rate: 1.0, staircase: true };
    assert_eq!(at(&inverse, &[0, 1, 2, 6]), [1.0, 1.0, 0.5, 0.25]);
    let wrong = Schedule::PiecewiseConstant { boundaries: vec![5, 2], values: vec![0.5, 0.25, 0.125] };
    assert!(wrong.check().is_err());
    assert!(Schedule::PiecewiseConstant { boundaries: vec![2], values: vec![0.5] }.check().is_err());
    let never =
        Schedule::ExponentialDecay { initial_learning_rate: 0.1, decay_steps: 0, decay_rate: 0.5, staircase: false };
    assert!(never.check().is_err() && Schedule::Constant(f64::NAN).check().is_err());
}
