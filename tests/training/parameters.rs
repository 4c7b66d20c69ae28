//! Parameters: where they are, what they begin with, how they are set; schedules.

use super::*;

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
