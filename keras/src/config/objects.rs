//! Initializers, regularizers and constraints in Keras's JSON: a name, or a dictionary of class and arguments.

use crate::config::keys;
use crate::json::{self, Object, from_json, to_json};
use locally_connected::{
    Axes, Constraint, Distribution, Error, FanMode, Initializer, OrthogonalMode, Regularizer, Result,
};
use serde_json::{Value, json};

/// An object that Keras serialises with its arguments.
pub(super) trait KerasObject: Sized {
    /// Keras 2.15's module of its classes.
    const MODULE: &'static str;
    /// The object of that name, with Keras's default arguments.
    fn from_name(name: &str) -> Result<Self>;
    /// A user's own object.
    fn custom(text: String) -> Self;
    /// Sets the arguments that are given.
    fn read(&mut self, given: &mut Arguments<'_>) -> Result<()>;
    /// Keras's class and arguments, or the text of a user's own object.
    fn class(&self) -> Result<(&'static str, Value), &str>;
}

/// The value of `argument`. Objects that aren't Keras's are kept as they are.
///
/// # Errors
/// [`Error::UnknownValue`] and [`Error::UnknownArgument`] if Keras would refuse the arguments of one of its classes.
pub(super) fn from_keras<T: KerasObject>(argument: &'static str, value: &Value) -> Result<T> {
    let wrong = || Error::UnknownValue {
        argument,
        expected: "a name, or a dictionary of `class_name` and `config`",
        value: json::shown(value),
    };
    let custom = || Ok(T::custom(to_json(value)));
    let (class, config) = match value {
        Value::String(name) if name.is_empty() => return Err(wrong()),
        Value::String(name) => return T::from_name(name).or_else(|_| custom()),
        Value::Object(object) => {
            let class = json::string(object, "class_name").ok_or_else(wrong)?;
            let registered = json::string(object, "registered_name").is_some_and(|name| name != class);
            let module = json::string(object, "module").unwrap_or("keras");
            // A function, by its name.
            if let (Some(name), "function") = (json::string(object, "config"), class) {
                return T::from_name(name).or_else(|_| custom());
            }
            if registered || !["keras", "tensorflow", "tf_keras"].contains(&module.split('.').next().unwrap_or(module))
            {
                return custom();
            }
            (class, json::object(object, "config").ok_or_else(wrong))
        }
        _ => return Err(wrong()),
    };
    let Ok(mut object) = T::from_name(class) else { return custom() };
    let mut given = Arguments { argument, config: config?, known: Vec::new(), custom: false };
    object.read(&mut given)?;
    if given.custom {
        return custom();
    }
    keys::check(class, given.config, &given.known)?;
    Ok(object)
}

/// Keras 2.15's dictionary of the object.
pub(super) fn to_keras<T: KerasObject>(object: &T) -> Value {
    match object.class() {
        Ok((class, config)) => {
            json!({"module": T::MODULE, "class_name": class, "config": config, "registered_name": null})
        }
        Err(text) => from_json(text).unwrap_or_else(|_| json!(text)),
    }
}

/// The arguments in a dictionary.
pub(super) struct Arguments<'a> {
    /// The layer's argument, for error messages.
    argument: &'static str,
    config: &'a Object,
    /// The arguments that were asked for.
    known: Vec<&'static str>,
    /// Whether only the user's own code could make something of an argument.
    custom: bool,
}

impl<'a> Arguments<'a> {
    fn given(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        json::given(self.config, key)
    }

    fn wrong(&self, expected: &'static str, value: &Value) -> Error {
        Error::UnknownValue { argument: self.argument, expected, value: json::shown(value) }
    }

    fn float(&mut self, key: &'static str, to: &mut f32) -> Result<()> {
        if let Some(value) = self.given(key) {
            match json::float(value) {
                // Keras accepts NaN, but nothing can be computed with it: it is kept, and refused where it would be
                // needed.
                Some(number) if number.is_nan() => self.custom = true,
                Some(number) => *to = number as f32,
                None => return Err(self.wrong("an object whose arguments are numbers", value)),
            }
        }
        Ok(())
    }

    /// A penalty's factor. Keras refuses an infinite one.
    fn factor(&mut self, key: &'static str, to: &mut f32) -> Result<()> {
        self.float(key, to)?;
        match json::given(self.config, key) {
            // Only of a user's own object is something kept that isn't a number.
            Some(value) if self.custom || !to.is_finite() => {
                Err(self.wrong("a penalty whose factors are finite", value))
            }
            _ => Ok(()),
        }
    }

    fn seed(&mut self, to: &mut Option<i64>) -> Result<()> {
        // TensorFlow 1 also gave the type of the numbers.
        self.known.push("dtype");
        if let Some(value) = self.given("seed") {
            *to = Some(json::integer(value).ok_or_else(|| self.wrong("an object with an integer as `seed`", value))?);
        }
        Ok(())
    }

    fn axes(&mut self, to: &mut Axes) -> Result<()> {
        if let Some(value) = self.given("axis") {
            let axes = match json::list(value) {
                None => json::integer(value).map(Axes::One),
                Some(list) => list.iter().map(json::integer).collect::<Option<_>>().map(Axes::Several),
            };
            *to = axes.ok_or_else(|| self.wrong("an object with an integer or integers as `axis`", value))?;
        }
        Ok(())
    }

    fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)], to: &mut T) -> Result<()> {
        if let Some(value) = self.given(key) {
            let found = words.iter().find(|(word, _)| value.as_str() == Some(word));
            *to = found.ok_or_else(|| self.wrong("an object with words that Keras knows", value))?.1;
        }
        Ok(())
    }
}

const MODES: [(&str, FanMode); 3] = [("fan_in", FanMode::In), ("fan_out", FanMode::Out), ("fan_avg", FanMode::Average)];
/// The last one is Keras 2.2's name of the first.
const DISTRIBUTIONS: [(&str, Distribution); 4] = [
    ("truncated_normal", Distribution::TruncatedNormal),
    ("untruncated_normal", Distribution::UntruncatedNormal),
    ("uniform", Distribution::Uniform),
    ("normal", Distribution::TruncatedNormal),
];
const ORTHOGONAL: [(&str, OrthogonalMode); 2] = [("rows", OrthogonalMode::Rows), ("columns", OrthogonalMode::Columns)];

fn word_of<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> &'static str {
    words.iter().find(|(_, other)| other == value).map_or("", |(word, _)| word)
}

fn axes_to_keras(axes: &Axes) -> Value {
    match axes {
        Axes::One(axis) => json!(axis),
        Axes::Several(axes) => json!(axes),
    }
}

impl KerasObject for Initializer {
    const MODULE: &'static str = "keras.initializers";

    fn from_name(name: &str) -> Result<Self> {
        Self::from_keras_name(name)
    }

    fn custom(text: String) -> Self {
        Self::Custom(text)
    }

    fn read(&mut self, given: &mut Arguments<'_>) -> Result<()> {
        match self {
            Self::Zeros | Self::Ones => given.known.push("dtype"),
            Self::Constant { value } => {
                given.known.push("dtype");
                // Older versions took arrays.
                given.custom = json::given(given.config, "value").is_some_and(|value| json::list(value).is_some());
                if !given.custom {
                    given.float("value", value)?;
                }
            }
            Self::RandomNormal { mean, stddev, seed } | Self::TruncatedNormal { mean, stddev, seed } => {
                given.float("mean", mean)?;
                given.float("stddev", stddev)?;
                given.seed(seed)?;
            }
            Self::RandomUniform { minval, maxval, seed } => {
                given.float("minval", minval)?;
                given.float("maxval", maxval)?;
                given.seed(seed)?;
            }
            Self::VarianceScaling { scale, mode, distribution, seed } => {
                given.float("scale", scale)?;
                if *scale <= 0.0 {
                    return Err(given.wrong("a VarianceScaling whose scale is over 0", &json!(scale)));
                }
                given.word("mode", &MODES, mode)?;
                given.word("distribution", &DISTRIBUTIONS, distribution)?;
                given.seed(seed)?;
            }
            Self::Orthogonal { gain, seed } => {
                given.float("gain", gain)?;
                given.seed(seed)?;
            }
            Self::Identity { gain } => {
                given.known.push("dtype");
                given.float("gain", gain)?;
            }
            Self::GlorotUniform { seed }
            | Self::GlorotNormal { seed }
            | Self::HeUniform { seed }
            | Self::HeNormal { seed }
            | Self::LecunUniform { seed }
            | Self::LecunNormal { seed } => given.seed(seed)?,
            _ => {}
        }
        Ok(())
    }

    fn class(&self) -> Result<(&'static str, Value), &str> {
        let short = |value: &f32| json::short(*value);
        Ok(match self {
            Self::Zeros => ("Zeros", json!({})),
            Self::Ones => ("Ones", json!({})),
            Self::Constant { value } => ("Constant", json!({"value": short(value)})),
            Self::RandomNormal { mean, stddev, seed } => {
                ("RandomNormal", json!({"mean": short(mean), "stddev": short(stddev), "seed": seed}))
            }
            Self::TruncatedNormal { mean, stddev, seed } => {
                ("TruncatedNormal", json!({"mean": short(mean), "stddev": short(stddev), "seed": seed}))
            }
            Self::RandomUniform { minval, maxval, seed } => {
                ("RandomUniform", json!({"minval": short(minval), "maxval": short(maxval), "seed": seed}))
            }
            Self::VarianceScaling { scale, mode, distribution, seed } => {
                let (mode, distribution) = (word_of(&MODES, mode), word_of(&DISTRIBUTIONS, distribution));
                let scale = short(scale);
                let config = json!({"scale": scale, "mode": mode, "distribution": distribution, "seed": seed});
                ("VarianceScaling", config)
            }
            Self::GlorotUniform { seed } => ("GlorotUniform", json!({"seed": seed})),
            Self::GlorotNormal { seed } => ("GlorotNormal", json!({"seed": seed})),
            Self::HeUniform { seed } => ("HeUniform", json!({"seed": seed})),
            Self::HeNormal { seed } => ("HeNormal", json!({"seed": seed})),
            Self::LecunUniform { seed } => ("LecunUniform", json!({"seed": seed})),
            Self::LecunNormal { seed } => ("LecunNormal", json!({"seed": seed})),
            Self::Orthogonal { gain, seed } => ("Orthogonal", json!({"gain": short(gain), "seed": seed})),
            Self::Identity { gain } => ("Identity", json!({"gain": short(gain)})),
            Self::Custom(text) => return Err(text),
            _ => return Err("null"),
        })
    }
}

impl KerasObject for Regularizer {
    const MODULE: &'static str = "keras.regularizers";

    fn from_name(name: &str) -> Result<Self> {
        Self::from_keras_name(name)
    }

    fn custom(text: String) -> Self {
        Self::Custom(text)
    }

    fn read(&mut self, given: &mut Arguments<'_>) -> Result<()> {
        match self {
            Self::L1 { l1 } => given.factor("l1", l1),
            Self::L2 { l2 } => given.factor("l2", l2),
            Self::L1L2 { l1, l2 } => given.factor("l1", l1).and_then(|()| given.factor("l2", l2)),
            Self::Orthogonal { factor, mode } => {
                given.factor("factor", factor)?;
                given.word("mode", &ORTHOGONAL, mode)
            }
            _ => Ok(()),
        }
    }

    fn class(&self) -> Result<(&'static str, Value), &str> {
        let short = |value: &f32| json::short(*value);
        Ok(match self {
            Self::L1 { l1 } => ("L1", json!({"l1": short(l1)})),
            Self::L2 { l2 } => ("L2", json!({"l2": short(l2)})),
            Self::L1L2 { l1, l2 } => ("L1L2", json!({"l1": short(l1), "l2": short(l2)})),
            Self::Orthogonal { factor, mode } => {
                ("OrthogonalRegularizer", json!({"factor": short(factor), "mode": word_of(&ORTHOGONAL, mode)}))
            }
            Self::Custom(text) => return Err(text),
            _ => return Err("null"),
        })
    }
}

impl KerasObject for Constraint {
    const MODULE: &'static str = "keras.constraints";

    fn from_name(name: &str) -> Result<Self> {
        Self::from_keras_name(name)
    }

    fn custom(text: String) -> Self {
        Self::Custom(text)
    }

    fn read(&mut self, given: &mut Arguments<'_>) -> Result<()> {
        match self {
            Self::MaxNorm { max_value, axis } => {
                given.float("max_value", max_value)?;
                given.axes(axis)
            }
            Self::UnitNorm { axis } => given.axes(axis),
            Self::MinMaxNorm { min_value, max_value, rate, axis } => {
                given.float("min_value", min_value)?;
                given.float("max_value", max_value)?;
                given.float("rate", rate)?;
                given.axes(axis)
            }
            _ => Ok(()),
        }
    }

    fn class(&self) -> Result<(&'static str, Value), &str> {
        let short = |value: &f32| json::short(*value);
        Ok(match self {
            Self::MaxNorm { max_value, axis } => {
                ("MaxNorm", json!({"max_value": short(max_value), "axis": axes_to_keras(axis)}))
            }
            Self::UnitNorm { axis } => ("UnitNorm", json!({"axis": axes_to_keras(axis)})),
            Self::MinMaxNorm { min_value, max_value, rate, axis } => (
                "MinMaxNorm",
                json!({"min_value": short(min_value), "max_value": short(max_value), "rate": short(rate), "axis": axes_to_keras(axis)}),
            ),
            Self::NonNeg => ("NonNeg", json!({})),
            Self::Radial => ("RadialConstraint", json!({})),
            Self::Custom(text) => return Err(text),
            _ => return Err("null"),
        })
    }
}
