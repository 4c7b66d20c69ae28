//! The dictionaries of layers when they are written: as they were read, with what has changed since.

use super::{LayerConfig, own_trainable};
use crate::json::Object;
use crate::model_file::{FileLayer, LayerKind};

use serde_json::Value;

/// Whether a model, whose own dictionary is `config`, is written as trainable: also if it was frozen but one of its
/// layers is to be trained now.
pub(crate) fn model_trainable(config: &Object, layers: &[FileLayer]) -> bool {
    own_trainable(config).unwrap_or(true) || layers.iter().any(|layer| is_trained(layer) || any_inside(layer))
}

fn any_inside(layer: &FileLayer) -> bool {
    layer.inner.iter().any(|layer| is_trained(layer) || any_inside(layer))
}

fn is_trained(layer: &FileLayer) -> bool {
    match &layer.kind {
        LayerKind::LocallyConnected(local) => local.trainable,
        LayerKind::Computed(computed) => computed.trainable && !computed.weights.is_empty(),
        _ => false,
    }
}

/// Whether a layer is written as trainable. `around` says whether all models around it are, as they are written; if one
/// is frozen, the layer's own value stays, else it is whether the layer is trained.
pub(crate) fn layer_trainable(layer: &FileLayer, around: bool) -> bool {
    let own = layer.config.as_object().and_then(|config| own_trainable(config).ok()).unwrap_or(true);
    match (&layer.kind, layer.config.as_object()) {
        _ if !around => own,
        (LayerKind::LocallyConnected(local), _) => local.trainable,
        (LayerKind::Computed(computed), _) => computed.trainable,
        (LayerKind::Model, Some(config)) => model_trainable(config, &layer.inner),
        _ => own,
    }
}

/// A layer's dictionary: as it was read, except for what [`FileLayer::kind`] says otherwise now.
pub(crate) fn written(layer: &FileLayer, around: bool) -> Object {
    let mut config = layer.config.as_object().cloned().unwrap_or_default();
    let trainable = layer_trainable(layer, around);
    if own_trainable(&config) != Ok(trainable) {
        config.insert("trainable".into(), trainable.into());
    }
    let Some(local) = layer.local() else { return config };
    let read = LayerConfig::from_keras(&layer.class_name, &Value::Object(config.clone()));
    let mut now = LayerConfig::new(local.geometry.config().clone(), local.layout);
    let said = match &read {
        Ok(read) => {
            (now.name, now.trainable, now.dtype) = (read.name.clone(), read.trainable, read.dtype);
            now.batch_input_shape = read.batch_input_shape.clone();
            read.dictionary()
        }
        // Whatever the dictionary says, it isn't about this layer.
        Err(_) => Object::new(),
    };
    for (key, value) in now.dictionary() {
        let keeps = ["name", "trainable", "dtype"].contains(&key.as_str()) && config.contains_key(&key);
        if said.get(&key) != Some(&value) && !keeps {
            config.insert(key, value);
        }
    }
    config
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::{FileFormat, Local, ModelFile};
    use locally_connected::Error;
    use locally_connected::{Config, Geometry, KerasLayout};

    /// A frozen model, one of whose layers is to be trained, is thawed, and its other layers stay frozen.
    #[test]
    fn a_frozen_model_is_thawed() {
        let local = |input: &[usize]| {
            let geometry = Geometry::new(&Config::new(2, [3]), input).unwrap();
            let (kernel, bias) = (vec![0.5; geometry.weights() as usize], Some(vec![0.25; geometry.biases() as usize]));
            let local = Local { geometry, layout: KerasLayout::Implementation1, kernel, bias, trainable: true };
            LayerKind::LocallyConnected(Box::new(local))
        };
        let layers = vec![("first".into(), local(&[8, 2])), ("second".into(), local(&[6, 2]))];
        let mut file = ModelFile::sequential("model", &[8, 2], layers).unwrap();
        file.frame.config.insert("trainable".into(), false.into());
        for (_, local) in file.locals_mut() {
            local.trainable = false;
        }
        let again = |file: &ModelFile| {
            let bytes = file.to_bytes(FileFormat::Hdf5).unwrap();
            ModelFile::from_bytes("written", &bytes, FileFormat::Hdf5).unwrap()
        };
        let trainable = |file: &ModelFile| file.locals().map(|(_, local)| local.trainable).collect::<Vec<_>>();
        let mut frozen = again(&file);
        assert_eq!((trainable(&frozen), &frozen.frame.config["trainable"]), (vec![false; 2], &Value::Bool(false)));
        // Their own words stand.
        assert!(frozen.layers.iter().all(|layer| layer.config["trainable"] != false));
        frozen.locals_mut().last().unwrap().1.trainable = true;
        let thawed = again(&frozen);
        assert_eq!((trainable(&thawed), &thawed.frame.config["trainable"]), (vec![false, true], &Value::Bool(true)));
    }

    #[test]
    fn trainable_is_a_boolean() {
        let of = |value: Value| own_trainable(&Object::from_iter([("trainable".to_owned(), value)]));
        assert_eq!([of(true.into()), of(false.into()), own_trainable(&Object::new())], [Ok(true), Ok(false), Ok(true)]);
        for wrong in [Value::Null, 1.into(), 0.into(), "false".into()] {
            assert!(matches!(of(wrong), Err(Error::UnknownValue { argument: "trainable", .. })));
        }
    }
}
