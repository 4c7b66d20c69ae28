//! Dropout and noise: what Keras's dictionaries of them say.

use crate::json::Object;
use crate::layers::{Arguments, noise, noise_to_keras};
use crate::{LayerKind, ModelFile, Problem};
use locally_connected::model::{Mode, NoiseLayer};
use locally_connected::ops::{Operation, RandomKind};
use serde_json::{Value, json};

fn read(class: &str, config: &Value, input: Option<&[usize]>) -> Result<NoiseLayer, Problem> {
    let config: &Object = config.as_object().unwrap();
    noise(class, &Arguments::new(config), input).unwrap()
}

/// Dictionaries as Keras 2.15's `get_config` gives them.
#[test]
fn noise_is_what_keras_says() -> Result<(), Problem> {
    let config = |more: Value| {
        let mut config = json!({"name": "noise", "trainable": true, "dtype": "float32"});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    };
    let dropout = |rate| NoiseLayer::new(RandomKind::Dropout { rate });
    let none = Value::Null;
    for (class, more, expected) in [
        ("Dropout", json!({"rate": 0.25, "noise_shape": none, "seed": 4}), dropout(0.25).seed(4)),
        ("Dropout", json!({"rate": 0.25, "noise_shape": [none, 1, 3], "seed": none}), dropout(0.25).shared_axes([0])),
        ("Dropout", json!({"rate": 0.25, "noise_shape": [none, none, none]}), dropout(0.25)),
        (
            "Dropout",
            json!({"rate": 0.25, "noise_shape": [1, 5, 1]}),
            NoiseLayer { shared_by_samples: true, ..dropout(0.25).shared_axes([1]) },
        ),
        (
            "Dropout",
            json!({"rate": 0.25, "noise_shape": [3]}),
            NoiseLayer { shared_by_samples: true, ..dropout(0.25).shared_axes([0]) },
        ),
        ("SpatialDropout1D", json!({"rate": 0.5, "noise_shape": none, "seed": none}), dropout(0.5).shared_axes([0])),
        ("GaussianDropout", json!({"rate": 0.3, "seed": 1}), {
            NoiseLayer::new(RandomKind::GaussianDropout { rate: 0.3 }).seed(1)
        }),
        ("GaussianNoise", json!({"stddev": 0.2, "seed": none}), {
            NoiseLayer::new(RandomKind::GaussianNoise { stddev: 0.2 })
        }),
        ("AlphaDropout", json!({"rate": 0.1, "seed": none}), {
            NoiseLayer::new(RandomKind::AlphaDropout { rate: 0.1 })
        }),
    ] {
        let config = config(more);
        let layer = read(class, &config, Some(&[5, 3]))?;
        assert_eq!(layer, expected, "{class} {config}");
        // Written and read once more; a spatial one is a Dropout by then.
        let (class, arguments) = noise_to_keras(&layer, 2);
        let written: Object = arguments.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        assert_eq!(read(class, &Value::Object(written), Some(&[5, 3]))?, expected, "{class}");
    }
    for (class, format, shared) in [
        ("SpatialDropout2D", "channels_last", vec![0, 1]),
        ("SpatialDropout2D", "channels_first", vec![1, 2]),
        ("SpatialDropout3D", "channels_last", vec![0, 1, 2]),
        ("SpatialDropout3D", "channels_first", vec![1, 2, 3]),
    ] {
        let config = config(json!({"rate": 0.5, "data_format": format}));
        assert_eq!(read(class, &config, None)?, dropout(0.5).shared_axes(shared), "{class} {format}");
    }
    // A batch of a size of its own, another size than the input's, and a name that nobody knows.
    for more in [
        json!({"rate": 0.5, "noise_shape": [8, 5, 3]}),
        json!({"rate": 0.5, "noise_shape": [none, 4, 3]}),
        json!({"rate": 0.5, "noise_shape": [none, 1, 5, 3]}),
        json!({"rate": 0.5, "noise_shape": "all"}),
        json!({"rate": "half"}),
        json!({"rate": 0.5, "unheard": 1}),
        json!({"stddev": 0.5}),
    ] {
        assert!(read("Dropout", &config(more.clone()), Some(&[5, 3])).is_err(), "{more}");
    }
    Ok(())
}

/// A file's noise is in the graph, where it is nothing but in training.
#[test]
fn noise_of_a_file_acts_in_training() -> crate::Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/cases/chain_dropout_noise/model.h5");
    let file = ModelFile::read(path)?;
    assert_eq!(file.layers.iter().filter(|layer| matches!(layer.kind, LayerKind::Noise(_))).count(), 6);
    let graph = file.graph()?;
    let random = |mode| {
        let program = graph.forward_in(mode);
        program.operations.iter().filter(|operation| matches!(operation, Operation::Random(_))).count()
    };
    assert_eq!((random(Mode::Inference), random(Mode::Training { seed: 1 })), (0, 6));
    Ok(())
}
