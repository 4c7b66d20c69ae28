//! Keras's JSON of a whole model: its layers, and which values they take.

use crate::error::Problem;
use crate::json::{self, Object, from_json};
use crate::keras1;
use crate::model_file::Frame;
use crate::named::Places;
use crate::wiring::{Call, Tensor, Wiring};
use serde_json::{Value, json};
use std::ops::Range;

/// What error messages call it.
const MODEL: &str = "the model's config";

/// JSON of the layers inside a layer. It stays where it is: models in models would else be copied at each level.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Nested<'a> {
    /// `layers` of a model.
    Layers(&'a Value),
    /// `layer` of a wrapper.
    Layer(&'a Value),
}

/// One layer of the model's JSON.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'a> {
    pub name: String,
    /// The class as which it is read.
    pub class_name: String,
    /// The class in the file, after which the native format names its groups.
    pub stored_class: String,
    /// Its number in the file's list, by which the native format counts layers of a class.
    pub listed: usize,
    /// `config`, with an empty list or nothing in the place of the layers inside the layer.
    pub config: Object,
    pub nested: Option<Nested<'a>>,
    /// The layer's dictionary without `config`.
    pub rest: Object,
    /// Arguments of its calls that are set and change what it does.
    pub arguments: Vec<String>,
}

/// A model's JSON, parsed.
#[derive(Debug)]
pub(crate) struct Architecture<'a> {
    pub name: String,
    pub frame: Frame,
    /// In the order of their first calls, followed by those that are never called.
    pub layers: Vec<Entry<'a>>,
    pub wiring: Wiring,
    /// Shape of the input without the batch, if the model's own dictionary has it.
    pub input_shape: Option<Vec<usize>>,
    /// The version of Keras and its backend, if the model's own dictionary has them; that of weights alone doesn't.
    pub keras_version: Option<String>,
    pub backend: Option<String>,
}

/// The JSON that Keras writes for a Sequential or a functional model.
pub(crate) fn parse(text: &str) -> Result<Value, Problem> {
    from_json(text).map_err(|error| Problem::Json { what: MODEL, message: error.to_string() })
}

impl<'a> Architecture<'a> {
    /// Of a model's JSON.
    pub(crate) fn of(model: &'a Value) -> Result<Self, Problem> {
        let Value::Object(outer) = model else { return Err(Problem::malformed(MODEL, "dictionary")) };
        let class = json::string(outer, "class_name").ok_or_else(|| Problem::lacks(MODEL, "`class_name`"))?;
        let parts = Parts::of(class, outer, &["layers"]);
        let Parts { rest, config, nested } =
            parts.ok_or_else(|| Problem::lacks(format!("{MODEL} ({class})"), "`config`"))?;
        Self::of_parts(class, rest, config, nested.map(Nested::json))
    }

    /// Of a dictionary without `config`, of `config` without `layers`, and of these.
    fn of_parts(class: &str, outer: Object, mut config: Object, layers: Option<&'a Value>) -> Result<Self, Problem> {
        config.shift_remove("layers");
        let layers = match (class, layers) {
            ("Sequential" | "Functional" | "Model", Some(Value::Array(layers))) => layers,
            (_, Some(Value::Array(_)) | None) => {
                return Err(Problem::ModelClass(class.to_owned()));
            }
            _ => return Err(Problem::malformed(format!("`layers` of {MODEL} ({class})"), "list")),
        };
        let name = json::string(&config, "name").unwrap_or("model").to_owned();
        let layers = layers.iter().enumerate().map(|(i, layer)| Entry::of(i, layer)).collect::<Result<Vec<_>, _>>()?;
        if layers.is_empty() {
            return Err(Problem::lacks("the model", "layers"));
        }
        let mut names = Places::default();
        for (index, layer) in layers.iter().enumerate() {
            if names.insert(layer.name.clone(), index).is_some() {
                return Err(Problem::TwoLayers(layer.name.clone()));
            }
        }
        let build = json::object(&outer, "build_config").and_then(|build| build.get("input_shape"));
        let input_shape = config.get("build_input_shape").or(build).and_then(json::shape);
        let says = |key| json::string(&outer, key).or(json::string(&config, key)).map(str::to_owned);
        let (keras_version, backend) = (says("keras_version"), says("backend"));
        let frame = Frame { outer, config };
        let mut model = Self { name, frame, layers, wiring: Wiring::default(), input_shape, keras_version, backend };
        model.wiring = if class == "Sequential" { model.chain() } else { model.connect(&names)? };
        model.in_order_of_calls();
        Ok(model)
    }

    /// The names and classes of the layers, in the order of the file's list.
    pub(crate) fn in_file(&self) -> Vec<(&str, &str)> {
        let mut layers: Vec<_> = self.layers.iter().collect();
        layers.sort_by_key(|layer| layer.listed);
        layers.iter().map(|layer| (layer.name.as_str(), layer.stored_class.as_str())).collect()
    }

    /// The names of the layers that should have weights, in the order of the file's list.
    pub(crate) fn with_weights(&self) -> Vec<String> {
        let mut layers: Vec<_> = self.layers.iter().filter(|layer| layer.has_weights()).collect();
        layers.sort_by_key(|layer| layer.listed);
        layers.iter().map(|layer| layer.name.clone()).collect()
    }

    /// A chain of layers. The input has its layer's name or, as in Keras, one made of the first layer's.
    fn chain(&self) -> Wiring {
        let name = match self.layers.first() {
            Some(first) if first.class_name == "InputLayer" => first.name.clone(),
            first => format!("{}_input", first.map_or("", |first| &first.name)),
        };
        let output = self.layers.last().map(|last| last.name.clone());
        Wiring::chain(self.layers.len(), name, output.unwrap_or_default())
    }

    /// Follows the `inbound_nodes` of a functional model.
    fn connect(&mut self, names: &Places) -> Result<Wiring, Problem> {
        let inputs = ends(&self.frame.config, "input_layers")?;
        let outputs = ends(&self.frame.config, "output_layers")?;
        for (list, ends) in [("inputs", &inputs), ("outputs", &outputs)] {
            if let Some(end) = ends.iter().find(|end| names.get(&end.layer).is_none()) {
                return Err(Problem::UnknownEnd { layer: end.layer.clone(), list });
            }
        }
        // For each layer its calls, and for each call the tensors that it takes.
        let mut nodes: Vec<Vec<Vec<Named>>> = Vec::with_capacity(self.layers.len());
        for layer in &mut self.layers {
            let listed = match layer.rest.get("inbound_nodes") {
                None => &[],
                Some(Value::Array(nodes)) => nodes.as_slice(),
                Some(_) => {
                    return Err(Problem::malformed(format!("`inbound_nodes` of layer \"{}\"", layer.name), "list"));
                }
            };
            let mut of_layer = Vec::with_capacity(listed.len());
            for node in listed {
                let mut taken = Vec::new();
                let arguments = tensors(node, &mut taken).ok_or_else(|| Problem::Inputs(layer.name.clone()))?;
                if let Some(from) = taken.iter().find(|from| names.get(&from.layer).is_none()) {
                    return Err(Problem::UnknownInput { layer: layer.name.clone(), from: from.layer.clone() });
                }
                layer.arguments.extend(arguments);
                of_layer.push(taken);
            }
            nodes.push(of_layer);
        }
        // A functional model inside a model counts the call that made it, so that its own calls begin at 1.
        let named = || nodes.iter().flatten().flatten().chain(&outputs);
        let mut first = vec![0usize; self.layers.len()];
        for tensor in named() {
            if let Some(layer) = names.get(&tensor.layer)
                && let Some((first, calls)) = first.get_mut(layer).zip(nodes.get(layer))
            {
                *first = usize::from(*first == 1 || (tensor.node > 0 && tensor.node == calls.len()));
            }
        }
        // For each layer the input that it is; the first end that names it counts.
        let mut given_to: Vec<Option<usize>> = vec![None; self.layers.len()];
        for (input, end) in inputs.iter().enumerate() {
            if let Some(given) = names.get(&end.layer).and_then(|layer| given_to.get_mut(layer)) {
                given.get_or_insert(input);
            }
        }
        let mut calls = Vec::new();
        // For each layer which of those are its own, and the number by which tensors name the first of them.
        let mut of_layers: Vec<(Range<usize>, usize)> = Vec::with_capacity(nodes.len());
        for (layer, ((of_layer, given), &first)) in nodes.iter().zip(given_to).zip(&first).enumerate() {
            let start = calls.len();
            let is_input = self.layers.get(layer).is_some_and(|layer| layer.class_name == "InputLayer");
            if of_layer.is_empty() && (given.is_some() || is_input) {
                calls.push((layer, None, given));
            }
            calls.extend(of_layer.iter().map(|node| (layer, Some(node), None)));
            of_layers.push((start..calls.len(), if of_layer.is_empty() { 0 } else { first }));
        }
        let place = |tensor: &Named| {
            let (own, first) = names.get(&tensor.layer).and_then(|layer| of_layers.get(layer))?;
            let call = tensor.node.checked_sub(*first).and_then(|number| own.clone().nth(number))?;
            Some(Tensor::Output { call, index: tensor.index })
        };
        let wired = calls.iter().map(|&(layer, node, given)| {
            let missing = |from: &Named| Problem::UnknownInput {
                layer: self.layers.get(layer).map(|layer| layer.name.clone()).unwrap_or_default(),
                from: format!("{}, call {}", from.layer, from.node),
            };
            let inputs: Result<Vec<Tensor>, Problem> = match node {
                None => given.into_iter().map(Tensor::Input).map(Ok).collect(),
                Some(node) => node.iter().map(|from| place(from).ok_or_else(|| missing(from))).collect(),
            };
            inputs.map(|inputs| Call { layer, inputs })
        });
        let wired = wired.collect::<Result<Vec<_>, _>>()?;
        let end = |end: &Named| {
            let missing = || Problem::UnknownEnd { layer: end.layer.clone(), list: "outputs" };
            place(end).ok_or_else(missing)
        };
        let wiring = Wiring {
            calls: wired,
            inputs: inputs.iter().map(|end| end.layer.clone()).collect(),
            outputs: outputs.iter().map(end).collect::<Result<_, _>>()?,
            output_names: outputs.into_iter().map(|end| end.layer).collect(),
            first,
        };
        wiring.sorted()
    }

    /// Puts the layers into the order of their first calls.
    fn in_order_of_calls(&mut self) {
        let mut order: Vec<usize> = Vec::with_capacity(self.layers.len());
        let mut new = vec![None; self.layers.len()];
        for layer in self.wiring.calls.iter().map(|call| call.layer).chain(0..self.layers.len()) {
            if let Some(place @ None) = new.get_mut(layer) {
                *place = Some(order.len());
                order.push(layer);
            }
        }
        let mut entries: Vec<_> = std::mem::take(&mut self.layers).into_iter().map(Some).collect();
        let first = |&index: &usize| self.wiring.first.get(index).copied().unwrap_or(0);
        self.wiring.first = order.iter().map(first).collect();
        self.layers = order.into_iter().filter_map(|index| entries.get_mut(index)?.take()).collect();
        for call in &mut self.wiring.calls {
            call.layer = new.get(call.layer).copied().flatten().unwrap_or(call.layer);
        }
    }
}

/// A layer's or a model's dictionary in parts.
struct Parts<'a> {
    /// Without `config`.
    rest: Object,
    config: Object,
    nested: Option<Nested<'a>>,
}

impl<'a> Parts<'a> {
    /// None without `config`. The layers inside are those of the first of the `keys` that it has. Before Keras 2.2.3 a Sequential's
    /// config is just its list of layers.
    fn of(class: &str, outer: &'a Object, keys: &[&str]) -> Option<Self> {
        let copied = |(key, value): (&String, &Value)| (key.clone(), value.clone());
        let rest = outer.iter().filter(|(key, _)| *key != "config").map(copied).collect();
        let (config, nested) = match outer.get("config")? {
            Value::Object(config) => {
                let key = keys.iter().find(|key| config.contains_key(**key));
                let nested = key.and_then(|key| Nested::of(key, config.get(*key)?));
                let own = config.iter().map(|(key, value)| match nested {
                    Some(nested) if nested.key() == key => (key.clone(), nested.place()),
                    _ => copied((key, value)),
                });
                (own.collect(), nested)
            }
            layers @ Value::Array(_) if class == "Sequential" => {
                let nested = Nested::Layers(layers);
                let config = [("name", json!("sequential")), (nested.key(), nested.place())];
                (config.map(|(key, value)| (key.to_owned(), value)).into_iter().collect(), Some(nested))
            }
            _ => return None,
        };
        Some(Self { rest, config, nested })
    }
}

impl<'a> Nested<'a> {
    fn of(key: &str, json: &'a Value) -> Option<Self> {
        match key {
            "layers" => Some(Self::Layers(json)),
            "layer" => Some(Self::Layer(json)),
            _ => None,
        }
    }

    /// Under which it is in `config`.
    fn key(self) -> &'static str {
        match self {
            Self::Layers(_) => "layers",
            Self::Layer(_) => "layer",
        }
    }

    fn json(self) -> &'a Value {
        match self {
            Self::Layers(json) | Self::Layer(json) => json,
        }
    }

    /// What stands in its place.
    fn place(self) -> Value {
        match self {
            Self::Layers(_) => Value::Array(Vec::new()),
            Self::Layer(_) => Value::Null,
        }
    }
}

/// Layers inside a layer.
pub(crate) enum Inside<'a> {
    /// A model inside the model.
    Model(Box<Architecture<'a>>),
    /// The one layer of a wrapper.
    Wrapped(Box<Entry<'a>>),
}

impl<'a> Entry<'a> {
    /// Whether it should have weights. An unknown class might, so it counts as one that does.
    fn has_weights(&self) -> bool {
        match self.inside() {
            None => !is_without_weights(&self.class_name),
            Some(Ok(Inside::Model(model))) => model.layers.iter().any(Self::has_weights),
            Some(Ok(Inside::Wrapped(layer))) => layer.has_weights(),
            Some(Err(_)) => true,
        }
    }

    /// The layers inside this one; none for an ordinary layer.
    pub(crate) fn inside(&self) -> Option<Result<Inside<'a>, Problem>> {
        Some(match self.nested? {
            Nested::Layer(layer) => Self::of(0, layer).map(|layer| Inside::Wrapped(Box::new(layer))),
            Nested::Layers(layers) => {
                let class = json::string(&self.rest, "class_name").unwrap_or(&self.class_name);
                Architecture::of_parts(class, self.rest.clone(), self.config.clone(), Some(layers))
                    .map(|model| Inside::Model(Box::new(model)))
            }
        })
    }
}

/// Layers that never have weights.
fn is_without_weights(class: &str) -> bool {
    const ENDS: [&str; 6] = ["Pooling1D", "Pooling2D", "Pooling3D", "Dropout", "Dropout1D", "Dropout2D"];
    const CLASSES: [&str; 34] = [
        "InputLayer",
        "Activation",
        "ReLU",
        "LeakyReLU",
        "ThresholdedReLU",
        "ELU",
        "Softmax",
        "Flatten",
        "Reshape",
        "Permute",
        "RepeatVector",
        "Masking",
        "GaussianNoise",
        "ActivityRegularization",
        "Identity",
        "ZeroPadding1D",
        "ZeroPadding2D",
        "ZeroPadding3D",
        "Cropping1D",
        "Cropping2D",
        "Cropping3D",
        "UpSampling1D",
        "UpSampling2D",
        "UpSampling3D",
        "Add",
        "Subtract",
        "Multiply",
        "Average",
        "Maximum",
        "Minimum",
        "Concatenate",
        "Merge",
        "Lambda",
        "Rescaling",
    ];
    CLASSES.contains(&class) || ENDS.iter().any(|end| class.ends_with(end)) || class == "SpatialDropout3D"
}

impl<'a> Entry<'a> {
    /// Of the JSON of layer `index`.
    fn of(index: usize, layer: &'a Value) -> Result<Self, Problem> {
        let Value::Object(outer) = layer else {
            return Err(Problem::malformed(format!("layer {index} of {MODEL}"), "dictionary"));
        };
        let class_name = json::string(outer, "class_name")
            .ok_or_else(|| Problem::lacks(format!("layer {index}"), "`class_name`"))?
            .to_owned();
        let parts = Parts::of(&class_name, outer, &["layer", "layers"]);
        let Parts { mut rest, mut config, nested } =
            parts.ok_or_else(|| Problem::lacks(format!("layer {index} ({class_name})"), "`config`"))?;
        let name = json::string(&rest, "name").or(json::string(&config, "name"));
        let name = name.ok_or_else(|| Problem::lacks(format!("layer {index} ({class_name})"), "name"))?.to_owned();
        // Files say a name twice. Keras writes the same.
        match json::string(&config, "name") {
            Some(own) if own != name => return Err(Problem::TwoNames { layer: name, own: own.to_owned() }),
            Some(_) => {}
            None => _ = config.insert("name".into(), name.clone().into()),
        }
        let stored_class = class_name.clone();
        let class_name = keras1::class(&stored_class, &config).map_or(class_name, str::to_owned);
        keras1::rename(&class_name, &mut config);
        if class_name != stored_class {
            rest.insert("class_name".into(), class_name.clone().into());
        }
        Ok(Self { name, class_name, stored_class, listed: index, config, nested, rest, arguments: Vec::new() })
    }
}

/// A tensor, by the name of its layer, the number of that layer's call and the number of the call's output.
#[derive(Debug, Clone)]
struct Named {
    layer: String,
    node: usize,
    index: usize,
}

/// `[layer, node, tensor, …]`.
fn named(value: &Value) -> Option<Named> {
    let at =
        |index: usize| value.get(index).map_or(Some(0), |v| json::integer(v).and_then(|v| usize::try_from(v).ok()));
    Some(Named { layer: value.get(0)?.as_str()?.to_owned(), node: at(1)?, index: at(2)? })
}

/// Layers in `input_layers` or `output_layers`: `[[name, 0, 0], …]`, a single one without the outer list, or a
/// dictionary, which Keras takes in the order of its keys.
fn ends(config: &Object, key: &str) -> Result<Vec<Named>, Problem> {
    let malformed = || Problem::malformed(format!("`{key}` of {MODEL}"), "list of [layer, node, tensor]");
    let ends: Option<Vec<Named>> = match config.get(key) {
        Some(one @ Value::Array(list)) if list.first().is_some_and(Value::is_string) => named(one).map(|end| vec![end]),
        Some(Value::Array(list)) => list.iter().map(named).collect(),
        Some(Value::Object(by_name)) => {
            let mut sorted: Vec<_> = by_name.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            sorted.into_iter().map(|(_, end)| named(end)).collect()
        }
        _ => None,
    };
    ends.ok_or_else(malformed)
}

/// Collects the tensors of a node, and gives the arguments of the call that are set. The node is `[[layer, node,
/// tensor, {…}], …]`, a single such list without the outer one, or Keras 3's `{"args": …, "kwargs": …}`.
fn tensors(node: &Value, taken: &mut Vec<Named>) -> Option<Vec<String>> {
    let mut arguments = Vec::new();
    let set = |given: &Object, arguments: &mut Vec<String>| {
        let given = given.iter().filter(|(_, value)| !value.is_null());
        arguments.extend(given.map(|(key, value)| format!("{key}={}", json::shown(value))));
    };
    if let Value::Object(node) = node {
        for argument in node.get("args")?.as_array()? {
            keras3_tensors(argument, taken)?;
        }
        set(node.get("kwargs").and_then(Value::as_object)?, &mut arguments);
        return Some(arguments).filter(|_| !taken.is_empty());
    }
    let node = node.as_array()?;
    let one = std::slice::from_ref(node);
    let all: Vec<&[Value]> = match node.first()? {
        Value::String(_) => one.iter().map(Vec::as_slice).collect(),
        _ => node.iter().map(|tensor| tensor.as_array().map(Vec::as_slice)).collect::<Option<_>>()?,
    };
    for tensor in all {
        // Only TensorFlow's operations take anything but tensors.
        if tensor.first().and_then(Value::as_str) == Some("_CONSTANT_VALUE") {
            arguments.push(format!("a constant {}", tensor.get(2).map(json::shown).unwrap_or_default()));
            continue;
        }
        taken.push(named(&Value::from(tensor.get(..3.min(tensor.len()))?.to_vec()))?);
        set(tensor.get(3).and_then(Value::as_object).unwrap_or(&Object::new()), &mut arguments);
    }
    Some(arguments)
}

/// The tensors in one of Keras 3's arguments: a tensor, or lists of tensors.
fn keras3_tensors(argument: &Value, taken: &mut Vec<Named>) -> Option<()> {
    if let Value::Array(list) = argument {
        return list.iter().try_for_each(|argument| keras3_tensors(argument, taken));
    }
    let history = argument.get("config")?.get("keras_history")?;
    taken.push(named(history)?);
    Some(())
}
