//! JSON of everything smaller than a model. The first byte says of what.

use locally_connected::plan::WrittenPlan;
use locally_connected::train::State;
use locally_connected::{Config, Geometry, TuneTable};
use locally_connected_keras::compiled::{
    Compiled, loss_from_keras, loss_to_keras, metric_from_keras, optimizer_from_keras, optimizer_to_keras,
    schedule_from_keras,
};
use locally_connected_keras::config::{LayerConfig, activation_from_keras, data_format_from_keras};
use locally_connected_keras::{from_json, to_json};

/// What may come first.
pub(crate) const KINDS: &[u8] = b"cktwsop";

pub(crate) fn take(bytes: &[u8]) {
    let Some((kind, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match kind {
        b'c' => config(text),
        b'k' => layer(text),
        b't' => drop(serde_json::from_str::<TuneTable>(text)),
        b'w' => drop(serde_json::from_str::<WrittenPlan>(text)),
        b's' => drop(serde_json::from_str::<State>(text)),
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
