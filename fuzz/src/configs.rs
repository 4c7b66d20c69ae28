//! JSON of everything smaller than a model. The first byte says of what.

use crate::programs;
use locally_connected::cpu::Runner;
use locally_connected::model::{Dense, Graph, Sequential, Wanted, layer_backward, layer_forward};
use locally_connected::plan::{Planner, WrittenPlan};
use locally_connected::program::Program;
use locally_connected::train::{
    Data, FanRule, FitOptions, Loss, Optimizer, State, Trainer, Training, initial_parameters,
};
use locally_connected::{Activation, Config, DeviceProfile, Geometry, Gradients, TuneTable};
use locally_connected_keras::compiled::{
    Compiled, loss_from_keras, loss_to_keras, metric_from_keras, optimizer_from_keras, optimizer_to_keras,
    schedule_from_keras,
};
use locally_connected_keras::config::{LayerConfig, activation_from_keras, data_format_from_keras};
use locally_connected_keras::{from_json, to_json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What may come first.
pub(crate) const KINDS: &[u8] = b"cgktwsop";

pub(crate) fn take(bytes: &[u8]) {
    let Some((kind, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match kind {
        b'c' => config(text),
        b'k' => layer(text),
        b'g' => graph(text),
        b't' => tuned(text),
        b'w' => plan(text),
        b's' => state(text),
        b'o' => compiled(text),
        _ => {
            if let Ok(value) = from_json(text) {
                let written = to_json(&value);
                assert!(from_json(&written).is_ok(), "{written}");
            }
        }
    }
}

fn shapes(config: &Config) {
    let rank = config.rank();
    if rank > 6 {
        return;
    }
    for size in [1usize, 7, 40] {
        let _ = Geometry::new(config, &vec![size; rank + 1]);
        let _ = Geometry::convolution(config, &vec![size; rank + 1]);
    }
}

fn config(text: &str) {
    if let Ok(config) = serde_json::from_str::<Config>(text) {
        shapes(&config);
        if let Ok(written) = serde_json::to_string(&config) {
            let again = serde_json::from_str::<Config>(&written);
            assert!(again.is_ok(), "{written}: {again:?}");
        }
    }
}

/// A graph that a page or a host wrote down, and its programs.
fn graph(text: &str) {
    let Ok(graph) = serde_json::from_str::<Graph>(text) else { return };
    if graph.check().is_err() {
        return;
    }
    let written = serde_json::to_string(&graph).unwrap_or_default();
    let again = serde_json::from_str::<Graph>(&written);
    assert!(again.is_ok(), "{written}: {again:?}");
    programs::use_it(&graph.forward());
    programs::use_it(&graph.backward(Wanted::All));
}

/// The samples of a pass that [`tuned`] plans.
pub(crate) const TUNED_BATCH: u32 = 4;

/// What measured choices are for: a layer that any implementation can do, forward and backward.
pub(crate) fn tunable() -> Option<[Program; 2]> {
    let config = Config::new(8, [3]).activation(Activation::Tanh);
    let layer = Arc::new(Geometry::new(&config, &[12, 4]).ok()?);
    Some([layer_forward(&layer, false), layer_backward(&layer, Gradients::ALL)])
}

/// Whatever was measured, or is said to have been, there is a plan.
fn tuned(text: &str) {
    let Ok(table) = serde_json::from_str::<TuneTable>(text) else { return };
    let profile = DeviceProfile::webgpu_defaults();
    for program in tunable().into_iter().flatten() {
        let plan = Planner::new(&profile).with_tuned(Some(&table)).program(&program, TUNED_BATCH);
        let written = plan.and_then(|plan| plan.written(&program));
        assert!(written.is_ok(), "{written:?}");
    }
}

/// A plan for code that knows WebGPU and nothing of ours: it is read, and is the same when it is written.
fn plan(text: &str) {
    let Ok(plan) = serde_json::from_str::<WrittenPlan>(text) else { return };
    let written = serde_json::to_string(&plan).unwrap_or_default();
    assert!(serde_json::from_str::<WrittenPlan>(&written).is_ok_and(|again| again == plan), "{written}");
}

/// What [`state`] offers states to: a small model and its training's optimizer.
pub(crate) fn training() -> Option<(Training, BTreeMap<String, Vec<f32>>)> {
    let graph = Sequential::new([3]).add(Dense::new(2)).graph().ok()?;
    let training = Training::new(&graph, Optimizer::adam(), Loss::MeanSquaredError).ok()?;
    let parameters = initial_parameters(&graph, FanRule::Keras, 1).ok()?;
    Some((training, parameters))
}

/// A training that is taken up again: refused, or it goes on for a step.
fn state(text: &str) {
    let Ok(state) = serde_json::from_str::<State>(text) else { return };
    let Some((training, parameters)) = training() else { return };
    pollster::block_on(async {
        let trainer = Trainer::new(Runner::default(), training, &parameters).await;
        let mut trainer = trainer.unwrap_or_else(|error| panic!("{error}"));
        if trainer.restore(&state).await.is_err() {
            return;
        }
        assert!(trainer.state().await.is_ok_and(|held| held.steps == state.steps && held.draws == state.draws));
        let (x, y) = ([0.5; 6], [1.0; 4]);
        let epochs = trainer.epochs();
        let options = FitOptions::new().batch_size(2).initial_epoch(epochs).epochs(epochs.saturating_add(1));
        let trained = trainer.fit(&Data::new(&x, &y), &options, &mut []).await;
        assert!(trained.is_ok() || epochs == usize::MAX, "{:?}", trained.err());
    });
}

fn layer(text: &str) {
    let Ok(value) = from_json(text) else { return };
    for class in ["LocallyConnected1D", "LocallyConnected2D"] {
        if let Ok(layer) = LayerConfig::from_keras(class, &value) {
            shapes(&layer.config);
            if let Ok((class, dictionary)) = layer.to_keras() {
                let again = LayerConfig::from_keras(&class, &dictionary);
                assert!(again.is_ok(), "{dictionary}: {again:?}");
            }
        }
    }
    let _ = (activation_from_keras(&value), data_format_from_keras(&value));
}

fn compiled(text: &str) {
    let Ok(value) = from_json(text) else { return };
    let compiled = Compiled::from_config(value.clone());
    let _ = (compiled.optimizer(), compiled.goals(&["a"]), compiled.goals(&["a", "b"]));
    let _ = (metric_from_keras(&value), schedule_from_keras(&value));
    if let Ok(optimizer) = optimizer_from_keras(&value) {
        let written = optimizer_to_keras(&optimizer);
        let again = optimizer_from_keras(&written);
        assert!(again.is_ok(), "{written}: {again:?}");
    }
    if let Ok(loss) = loss_from_keras(&value) {
        let written = loss_to_keras(&loss);
        assert!(loss_from_keras(&written).is_ok(), "{written}");
    }
}
