//! Keras's JSON of a whole model: which layers there are, and what feeds which.

use crate::error::{NotAChain, Problem};
use crate::json::{self, Object, from_json};
use crate::keras1;
use crate::model_file::Frame;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

/// What errors are about.
const MODEL: &str = "the model's config";

/// One layer of the model's JSON.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub name: String,
    pub class_name: String,
    /// Its place in the file's list, by which the native format counts layers of a class.
    pub listed: usize,
    pub config: Object,
    /// The layer's dictionary without `config`.
    pub rest: Object,
    /// Indices of the layers whose outputs it takes, where it is called first.
    pub inputs: Vec<usize>,
    /// Arguments of its call, which change what it does: only those that are set.
    pub arguments: Vec<String>,
}

/// A model's JSON, taken apart.
#[derive(Debug)]
pub(crate) struct Architecture {
    pub name: String,
    pub frame: Frame,
    /// In the order of execution where the model is a chain, else as listed.
    pub layers: Vec<Entry>,
    /// Why it isn't a chain of layers, where it isn't.
    pub not_a_chain: Option<NotAChain>,
    /// Shape of the input without the batch, where the model's own dictionary says it.
    pub input_shape: Option<Vec<usize>>,
}

impl Architecture {
    /// Takes `text`, the JSON that Keras 2 writes for a Sequential or a functional model, apart.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let json = |error: serde_json::Error| Problem::Json { what: MODEL, message: error.to_string() };
        Self::from_value(from_json(text).map_err(json)?)
    }

    /// As [`Architecture::parse`].
    pub(crate) fn from_value(value: Value) -> Result<Self, Problem> {
        let Value::Object(mut outer) = value else { return Err(Problem::malformed(MODEL, "dictionary")) };
        let class = json::string(&outer, "class_name").ok_or_else(|| Problem::lacks(MODEL, "`class_name`"))?.to_owned();
        let config = take_config(&class, &mut outer);
        let mut config = config.ok_or_else(|| Problem::lacks(format!("{MODEL} ({class})"), "`config`"))?;
        let layers = match (class.as_str(), config.shift_remove("layers")) {
            ("Sequential" | "Functional" | "Model", Some(Value::Array(layers))) => layers,
            (_, Some(Value::Array(_)) | None) => {
                return Err(Problem::ModelClass(class));
            }
            _ => return Err(Problem::malformed(format!("`layers` of {MODEL} ({class})"), "list")),
        };
        let name = json::string(&config, "name").unwrap_or("model").to_owned();
        let layers = layers.into_iter().enumerate().map(|(i, layer)| entry(i, layer)).collect::<Result<Vec<_>, _>>()?;
        if layers.is_empty() {
            return Err(Problem::lacks("the model", "layers"));
        }
        let mut names = HashMap::new();
        for (index, layer) in layers.iter().enumerate() {
            if names.insert(layer.name.clone(), index).is_some() {
                return Err(Problem::TwoLayers(layer.name.clone()));
            }
        }
        let build = json::object(&outer, "build_config").and_then(|build| build.get("input_shape"));
        let input_shape = config.get("build_input_shape").or(build).and_then(json::shape);
        let mut model = Self { name, frame: Frame { outer, config }, layers, not_a_chain: None, input_shape };
        if class == "Sequential" {
            model.connect_in_order();
        } else {
            model.connect(&names)?;
        }
        Ok(model)
    }

    /// The names and classes of the layers, in the order of the file's list.
    pub(crate) fn in_file(&self) -> Vec<(&str, &str)> {
        let mut layers: Vec<_> = self.layers.iter().collect();
        layers.sort_by_key(|layer| layer.listed);
        layers.iter().map(|layer| (layer.name.as_str(), layer.class_name.as_str())).collect()
    }

    fn connect_in_order(&mut self) {
        for (index, layer) in self.layers.iter_mut().enumerate() {
            layer.inputs = index.checked_sub(1).into_iter().collect();
        }
    }

    /// Follows the `inbound_nodes` of a functional model.
    fn connect(&mut self, names: &HashMap<String, usize>) -> Result<(), Problem> {
        let inputs = ends(&self.frame.config, "input_layers")?;
        let outputs = ends(&self.frame.config, "output_layers")?;
        let mut problem = None;
        let mut consumers = vec![0usize; self.layers.len()];
        for index in 0..self.layers.len() {
            let Some(layer) = self.layers.get_mut(index) else { continue };
            let nodes = match layer.rest.get("inbound_nodes") {
                None => &[],
                Some(Value::Array(nodes)) => nodes.as_slice(),
                Some(_) => {
                    return Err(Problem::malformed(format!("`inbound_nodes` of layer \"{}\"", layer.name), "list"));
                }
            };
            if nodes.len() > 1 {
                problem.get_or_insert_with(|| NotAChain::Calls { layer: layer.name.clone(), calls: nodes.len() });
            }
            let mut feeding = Vec::new();
            for (call, node) in nodes.iter().enumerate() {
                let Some(tensors) = tensors(node) else {
                    return Err(Problem::Inputs(layer.name.clone()));
                };
                for (from, arguments) in tensors {
                    let Some(&from) = names.get(from) else {
                        return Err(Problem::UnknownInput { layer: layer.name.clone(), from: from.to_owned() });
                    };
                    if let Some(count) = consumers.get_mut(from) {
                        *count += 1;
                    }
                    if call == 0 {
                        feeding.push(from);
                        let given = arguments.into_iter().flatten().filter(|(_, value)| !value.is_null());
                        layer.arguments.extend(given.map(|(key, value)| format!("{key}={}", json::shown(value))));
                    }
                }
            }
            layer.inputs = feeding;
            if layer.inputs.len() > 1 {
                problem
                    .get_or_insert_with(|| NotAChain::Inputs { layer: layer.name.clone(), inputs: layer.inputs.len() });
            }
        }
        for (list, ends) in [("inputs", &inputs), ("outputs", &outputs)] {
            if let Some(end) = ends.iter().find(|end| !names.contains_key(*end)) {
                return Err(Problem::UnknownEnd { layer: end.clone(), list });
            }
            if ends.len() != 1 {
                problem = Some(NotAChain::Ends { list, layers: ends.clone() });
            }
        }
        if problem.is_none()
            && let Some((_, layer)) = consumers.iter().zip(&self.layers).find(|(count, _)| **count > 1)
        {
            problem = Some(NotAChain::Branch(layer.name.clone()));
        }
        if problem.is_none() {
            let first = inputs.first().and_then(|name| names.get(name)).copied();
            let last = outputs.first().and_then(|name| names.get(name)).copied();
            problem = self.sort_chain(first, last);
        }
        self.not_a_chain = problem;
        Ok(())
    }

    /// Brings the layers into the order of execution. Every layer has at most one input and one consumer.
    fn sort_chain(&mut self, first: Option<usize>, last: Option<usize>) -> Option<NotAChain> {
        let mut order = Vec::with_capacity(self.layers.len());
        let mut seen = HashSet::new();
        let mut at = last;
        while let Some(index) = at {
            if !seen.insert(index) {
                return Some(NotAChain::Circle(self.layers.get(index)?.name.clone()));
            }
            order.push(index);
            at = self.layers.get(index)?.inputs.first().copied();
        }
        order.reverse();
        if order.first().copied() != first || order.len() != self.layers.len() {
            return Some(NotAChain::Beside { on_the_way: order.len(), layers: self.layers.len() });
        }
        let mut entries: Vec<_> = std::mem::take(&mut self.layers).into_iter().map(Some).collect();
        self.layers = order.into_iter().filter_map(|index| entries.get_mut(index)?.take()).collect();
        self.connect_in_order();
        None
    }
}

/// Takes `config` out of a dictionary. A Sequential of Keras before 2.2.3 is just the list of its layers.
fn take_config(class: &str, outer: &mut Object) -> Option<Object> {
    match outer.shift_remove("config")? {
        Value::Object(config) => Some(config),
        Value::Array(layers) if class == "Sequential" => {
            Some(Object::from_iter([("name".into(), json!("sequential")), ("layers".into(), layers.into())]))
        }
        _ => None,
    }
}

/// What a layer holds in itself.
pub(crate) enum Inside {
    /// A model in the model.
    Model(Architecture),
    /// The one layer of a wrapper.
    Wrapped(Entry),
}

impl Entry {
    /// The layers in this one; none where it is a layer like any other.
    pub(crate) fn inside(&self) -> Option<Result<Inside, Problem>> {
        if let Some(layer) = self.config.get("layer") {
            return Some(entry(0, layer.clone()).map(Inside::Wrapped));
        }
        if !self.config.contains_key("layers") {
            return None;
        }
        let mut model = self.rest.clone();
        model.insert("config".into(), self.config.clone().into());
        Some(Architecture::from_value(model.into()).map(Inside::Model))
    }
}

fn entry(index: usize, layer: Value) -> Result<Entry, Problem> {
    let Value::Object(mut rest) = layer else {
        return Err(Problem::malformed(format!("layer {index} of {MODEL}"), "dictionary"));
    };
    let class_name = json::string(&rest, "class_name")
        .ok_or_else(|| Problem::lacks(format!("layer {index}"), "`class_name`"))?
        .to_owned();
    let config = take_config(&class_name, &mut rest);
    let mut config = config.ok_or_else(|| Problem::lacks(format!("layer {index} ({class_name})"), "`config`"))?;
    let name = json::string(&rest, "name").or(json::string(&config, "name"));
    let name = name.ok_or_else(|| Problem::lacks(format!("layer {index} ({class_name})"), "name"))?.to_owned();
    keras1::rename(&class_name, &mut config);
    Ok(Entry { name, class_name, listed: index, config, rest, inputs: Vec::new(), arguments: Vec::new() })
}

/// Layers of `input_layers` or `output_layers`: `[[name, 0, 0], …]`, or one without the outer list.
fn ends(config: &Object, key: &str) -> Result<Vec<String>, Problem> {
    let malformed = || Problem::malformed(format!("`{key}` of {MODEL}"), "list of [layer, node, tensor]");
    let Some(Value::Array(list)) = config.get(key) else { return Err(malformed()) };
    if let Some(Value::String(name)) = list.first() {
        return Ok(vec![name.clone()]);
    }
    list.iter().map(|end| end.get(0).and_then(Value::as_str).map(str::to_owned).ok_or_else(malformed)).collect()
}

/// The tensors of a node and the call's arguments: `[[layer, node, tensor, {…}], …]`, or one without the outer list.
fn tensors(node: &Value) -> Option<Vec<(&str, Option<&Object>)>> {
    let node = node.as_array()?;
    if node.first()?.is_string() {
        return Some(vec![(node.first()?.as_str()?, node.get(3).and_then(Value::as_object))]);
    }
    node.iter().map(|t| Some((t.get(0)?.as_str()?, t.get(3).and_then(Value::as_object)))).collect()
}
