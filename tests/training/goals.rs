//! What a training computes: losses and where they take logits, names, memory, and what is refused.

use super::*;

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
