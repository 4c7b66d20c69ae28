//! Keras's dictionary of a locally connected layer.

use super::activation::{activation_from_keras, activation_to_keras, with_axis_from_end};
use super::{DtypePolicy, data_format_from_keras, keys, objects, own_trainable, per_axis, positive, rank_of_class};
use crate::json::{self, Object};
use crate::keras1;
use crate::names::snake_case;
use locally_connected::{Activation, Bias, Config, DataFormat, Error, Initializer, KerasLayout, Padding, Result};
use serde_json::{Value, json};

/// All that Keras's `get_config` has of a locally connected layer, in Keras 1 to 2.15 and in R's interface.
///
/// ```
/// # fn main() -> locally_connected::Result<()> {
/// use locally_connected::{Padding, Regularizer};
/// use locally_connected_keras::config::LayerConfig;
/// let text = r#"{"filters": 64, "kernel_size": 3, "padding": "same", "implementation": 3, "kernel_regularizer": "l2"}"#;
/// let mut layer = LayerConfig::from_keras("LocallyConnected2D", &serde_json::from_str(text).unwrap_or_default())?;
/// assert_eq!(layer.config.kernel_size, [3, 3]);
/// assert_eq!(layer.config.kernel_regularizer, Some(Regularizer::L2 { l2: 0.01 }));
/// assert_eq!(layer.layout.number(), 3);
/// layer.config.filters = 32;
/// let (class, dictionary) = layer.to_keras()?; // Keras 2.15's from_config takes it.
/// assert_eq!((class.as_str(), &dictionary["filters"]), ("LocallyConnected2D", &serde_json::json!(32)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LayerConfig {
    /// The layer's name; without one Keras makes one of the class.
    pub name: Option<String>,
    /// Whether the layer itself is trainable. It isn't trained if a layer or model around it is frozen.
    pub trainable: bool,
    /// The dtype policy.
    pub dtype: DtypePolicy,
    /// The shape of the input, with the batch first; none if Keras infers it. An axis without a size may have any.
    pub batch_input_shape: Option<Vec<Option<usize>>>,
    /// The arguments.
    pub config: Config,
    /// Keras's `implementation`: how the weights are stored. How the layer is executed, [`Config::implementation`],
    /// isn't in the dictionary.
    pub layout: KerasLayout,
}

impl LayerConfig {
    /// A layer with this configuration, whose weights are stored in this layout; all else as Keras's defaults.
    #[must_use]
    pub fn new(config: Config, layout: KerasLayout) -> Self {
        let (name, trainable, dtype, batch_input_shape) = (None, true, DtypePolicy::Float32, None);
        Self { name, trainable, dtype, batch_input_shape, config, layout }
    }

    /// Reads the dictionary that Keras's `get_config` gives for a locally connected layer of class `class_name`.
    ///
    /// What Keras 2.15 refuses when it constructs or builds the layer is refused here, unknown keys included. Absent
    /// keys have Keras's defaults, and Keras 1's names are understood, too. Initializers, regularizers and constraints
    /// that aren't Keras's are kept as they are.
    ///
    /// # Errors
    /// [`Error::UnknownArgument`], [`Error::Rank`], [`Error::NotPositive`], [`Error::UnknownValue`],
    /// [`Error::PaddingNeedsOtherLayout`], [`Error::Missing`], [`Error::Unsupported`].
    pub fn from_keras(class_name: &str, dictionary: &Value) -> Result<Self> {
        let Some(rank) = rank_of_class(class_name) else {
            return Err(Error::UnknownValue {
                argument: "class_name",
                expected: "LocallyConnected1D, LocallyConnected2D, LocallyConnected3D",
                value: class_name.to_owned(),
            });
        };
        let Value::Object(given) = dictionary else {
            let value = json::shown(dictionary);
            return Err(Error::UnknownValue { argument: "config", expected: "a dictionary", value });
        };
        let mut given = given.clone();
        keras1::rename(class_name, &mut given);
        keys::check(class_name, &given, &keys::LAYER)?;
        check_beside(&given)?;
        let layout = match json::given(&given, "implementation") {
            None => KerasLayout::Implementation1,
            Some(value) => KerasLayout::from_keras(json::integer(value).ok_or_else(|| Error::UnknownValue {
                argument: "implementation",
                expected: "1, 2, 3",
                value: json::shown(value),
            })?)?,
        };
        Ok(Self {
            name: text(&given, "name")?,
            trainable: own_trainable(&given)?,
            dtype: json::given(&given, "dtype").map_or(Ok(DtypePolicy::Float32), DtypePolicy::from_keras)?,
            batch_input_shape: batch_input_shape(&given)?,
            config: config(rank, &given, layout)?,
            layout,
        })
    }

    /// Keras 2.15's class and `get_config` dictionary.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for anything that Keras can't express ([`beyond_keras`]).
    pub fn to_keras(&self) -> Result<(String, Value)> {
        match beyond_keras(&self.config) {
            Some(what) => Err(Error::Unsupported { what, with: "in Keras's layers".into() }),
            None => Ok((self.class_name(), self.dictionary().into())),
        }
    }

    /// Keras's class.
    pub(crate) fn class_name(&self) -> String {
        format!("LocallyConnected{}D", self.config.rank())
    }

    /// The dictionary, without what Keras can't express.
    pub(crate) fn dictionary(&self) -> Object {
        let config = &self.config;
        let mut dictionary = Object::new();
        let mut put = |key: &str, value: Value| dictionary.insert(key.into(), value);
        put("name", self.name.clone().unwrap_or_else(|| snake_case(&self.class_name())).into());
        put("trainable", self.trainable.into());
        put("dtype", self.dtype.to_keras());
        if let Some(shape) = &self.batch_input_shape {
            put("batch_input_shape", json!(shape));
        }
        put("filters", config.filters.into());
        put("kernel_size", json!(config.kernel_size));
        put("strides", json!(config.strides));
        put("padding", if config.padding == Padding::Valid { "valid" } else { "same" }.into());
        put("data_format", config.data_format.name().into());
        put("activation", activation_to_keras(&config.activation).unwrap_or_else(|| json!("linear")));
        put("use_bias", (config.bias != Bias::None).into());
        put("kernel_initializer", objects::to_keras(&config.kernel_initializer));
        put("bias_initializer", objects::to_keras(&config.bias_initializer));
        for (key, regularizer) in [
            ("kernel_regularizer", &config.kernel_regularizer),
            ("bias_regularizer", &config.bias_regularizer),
            ("activity_regularizer", &config.activity_regularizer),
        ] {
            put(key, regularizer.as_ref().map_or(Value::Null, objects::to_keras));
        }
        for (key, constraint) in
            [("kernel_constraint", &config.kernel_constraint), ("bias_constraint", &config.bias_constraint)]
        {
            put(key, constraint.as_ref().map_or(Value::Null, objects::to_keras));
        }
        put("implementation", self.layout.number().into());
        dictionary
    }
}

fn config(rank: usize, given: &Object, layout: KerasLayout) -> Result<Config> {
    let filters = match json::given(given, "filters") {
        None => return Err(Error::Missing { what: "`filters`", why: "it has no default" }),
        Some(value) => positive("filters", value)?,
    };
    let Some(kernel_size) = json::given(given, "kernel_size") else {
        return Err(Error::Missing { what: "`kernel_size`", why: "it has no default" });
    };
    let kernel_size = per_axis("kernel_size", rank, kernel_size)?;
    let strides = json::given(given, "strides").map_or(Ok(vec![1; rank]), |v| per_axis("strides", rank, v))?;
    let padding = match json::given(given, "padding") {
        None => Padding::Valid,
        Some(value) => match value.as_str().map(str::parse) {
            Some(Ok(Padding::Valid)) => Padding::Valid,
            Some(Ok(Padding::Same)) if layout != KerasLayout::Implementation1 => Padding::Same,
            Some(Ok(Padding::Same)) => return Err(Error::PaddingNeedsOtherLayout { padding: json::shown(value) }),
            _ => {
                let value = json::shown(value);
                return Err(Error::UnknownValue { argument: "padding", expected: "\"valid\", \"same\"", value });
            }
        },
    };
    let data_format = json::given(given, "data_format").map_or(Ok(DataFormat::ChannelsLast), data_format_from_keras)?;
    let activation = match json::given(given, "activation") {
        None => Activation::Linear,
        Some(value) => activation_from_keras(&with_axis_from_end(value, rank + 1))?,
    };
    let bias = match json::given(given, "use_bias").map(|value| (value.as_bool(), json::integer(value), value)) {
        None | Some((Some(true), ..) | (_, Some(1), _)) => Bias::PerLocation,
        Some((Some(false), ..) | (_, Some(0), _)) => Bias::None,
        Some((.., value)) => {
            let value = json::shown(value);
            return Err(Error::UnknownValue { argument: "use_bias", expected: "true, false", value });
        }
    };
    let initializer = |argument, default| match given.get(argument) {
        None => Ok(default),
        // Keras gives a variable without an initializer this one, even a bias.
        Some(Value::Null) => Ok(Initializer::GLOROT_UNIFORM),
        Some(value) => objects::from_keras(argument, value),
    };
    let regularizer = |argument| json::given(given, argument).map(|v| objects::from_keras(argument, v)).transpose();
    let constraint = |argument| json::given(given, argument).map(|v| objects::from_keras(argument, v)).transpose();
    Ok(Config::new(filters, kernel_size)
        .strides(strides)
        .padding(padding)
        .data_format(data_format)
        .activation(activation)
        .bias(bias)
        .kernel_initializer(initializer("kernel_initializer", Initializer::GLOROT_UNIFORM)?)
        .bias_initializer(initializer("bias_initializer", Initializer::Zeros)?)
        .kernel_regularizer(regularizer("kernel_regularizer")?)
        .bias_regularizer(regularizer("bias_regularizer")?)
        .activity_regularizer(regularizer("activity_regularizer")?)
        .kernel_constraint(constraint("kernel_constraint")?)
        .bias_constraint(constraint("bias_constraint")?))
}

/// Checks arguments besides those of [`Config`]: some change nothing, others aren't supported.
fn check_beside(given: &Object) -> Result<()> {
    // Keras's layers have neither. A similar layer that has them must not be computed as if it hadn't.
    for argument in ["dilation_rate", "groups"] {
        if let Some(value) = json::given(given, argument)
            && !json::is_all_ones(value)
        {
            let what = format!("`{argument}` = {}", json::shown(value));
            return Err(Error::Unsupported { what, with: "in a layer of a Keras file".into() });
        }
    }
    if let Some(weights) = json::given(given, "weights") {
        let what = format!("`weights` = {}", json::shown(weights));
        return Err(Error::Unsupported { what, with: "in a dictionary: a layer's weights are written to it".into() });
    }
    Ok(())
}

fn text(given: &Object, argument: &'static str) -> Result<Option<String>> {
    match json::given(given, argument) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(value) => Err(Error::UnknownValue { argument, expected: "a text", value: json::shown(value) }),
    }
}

/// The shape with the batch first, from the arguments that may say it, in Keras's order of precedence.
fn batch_input_shape(given: &Object) -> Result<Option<Vec<Option<usize>>>> {
    let sizes = |argument: &'static str, value: &Value| {
        let size = |size: &Value| match json::integer(size).map(usize::try_from) {
            _ if size.is_null() => Some(None),
            Some(Ok(size)) => Some(Some(size)),
            _ => None,
        };
        let sizes: Option<Vec<_>> = json::list(value).and_then(|list| list.iter().map(size).collect());
        let expected = "a list of sizes";
        sizes.ok_or_else(|| Error::UnknownValue { argument, expected, value: json::shown(value) })
    };
    for argument in ["batch_input_shape", "batch_shape"] {
        if let Some(value) = json::given(given, argument) {
            return sizes(argument, value).map(Some);
        }
    }
    let mut shape = match (json::given(given, "input_shape"), json::given(given, "input_dim")) {
        (Some(value), _) => sizes("input_shape", value)?,
        (None, Some(value)) => vec![Some(positive("input_dim", value)?)],
        (None, None) => return Ok(None),
    };
    let batch = json::given(given, "batch_size").map(|value| positive("batch_size", value)).transpose()?;
    shape.insert(0, batch);
    Ok(Some(shape))
}

/// What in `config` Keras's own layers can't express; none if they can express all of it.
#[must_use]
pub fn beyond_keras(config: &Config) -> Option<String> {
    if config.dilation_rate.iter().any(|&rate| rate != 1) {
        Some(format!("dilation_rate {:?}", config.dilation_rate))
    } else if config.groups != 1 {
        Some(format!("{} groups", config.groups))
    } else if !matches!(config.padding, Padding::Valid | Padding::Same) {
        Some(format!("padding {}", config.padding))
    } else if config.bias == Bias::PerFilter {
        Some("a bias shared by all locations".into())
    } else if activation_to_keras(&config.activation).is_none() {
        Some(format!("activation {:?}", config.activation))
    } else {
        None
    }
}
