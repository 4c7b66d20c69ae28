//! Reads and writes a [`Config`] as data: what is left out has Keras's default, and objects with default arguments are
//! just names.

use super::{
    Activation, Axes, Bias, Config, Constraint, DataFormat, Implementation, Initializer, Padding, PerAxis, Regularizer,
    WeightType, implementation,
};
use crate::{Error, Result};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return Written::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom);
        }
        Plain::deserialize(deserializer)
    }
}

/// All fields in the order in which [`Config`] writes them, for compact formats that don't name fields.
#[derive(Deserialize)]
#[serde(remote = "Config")]
struct Plain {
    filters: usize,
    kernel_size: Vec<usize>,
    strides: Vec<usize>,
    padding: Padding,
    data_format: DataFormat,
    dilation_rate: Vec<usize>,
    groups: usize,
    activation: Activation,
    bias: Bias,
    #[serde(with = "implementation")]
    implementation: Option<Implementation>,
    dtype: WeightType,
    kernel_initializer: Initializer,
    bias_initializer: Initializer,
    kernel_regularizer: Option<Regularizer>,
    bias_regularizer: Option<Regularizer>,
    activity_regularizer: Option<Regularizer>,
    kernel_constraint: Option<Constraint>,
    bias_constraint: Option<Constraint>,
}

/// A number or a list. Formats that don't describe themselves have a flag for which it is, and the list.
impl Serialize for Axes {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match (self, serializer.is_human_readable()) {
            (Self::One(axis), true) => axis.serialize(serializer),
            (Self::Several(axes), true) => axes.serialize(serializer),
            (Self::One(axis), false) => (true, [*axis].as_slice()).serialize(serializer),
            (Self::Several(axes), false) => (false, axes.as_slice()).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Axes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            One(i64),
            Several(Vec<i64>),
        }
        if deserializer.is_human_readable() {
            return Ok(match Either::deserialize(deserializer)? {
                Either::One(axis) => Self::One(axis),
                Either::Several(axes) => Self::Several(axes),
            });
        }
        let (one, axes) = <(bool, Vec<i64>)>::deserialize(deserializer)?;
        match (one, &axes[..]) {
            (true, [axis]) => Ok(Self::One(*axis)),
            (true, _) => Err(serde::de::Error::invalid_length(axes.len(), &"one axis")),
            (false, _) => Ok(Self::Several(axes)),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename = "Config", deny_unknown_fields)]
struct Written {
    filters: usize,
    kernel_size: PerAxis,
    /// None if a size is a list.
    rank: Option<usize>,
    strides: Option<PerAxis>,
    #[serde(default)]
    padding: Padding,
    #[serde(default)]
    data_format: DataFormat,
    dilation_rate: Option<PerAxis>,
    groups: Option<usize>,
    #[serde(default)]
    activation: Named<Activation>,
    #[serde(default)]
    bias: Bias,
    #[serde(default, with = "implementation")]
    implementation: Option<Implementation>,
    #[serde(default)]
    dtype: WeightType,
    kernel_initializer: Option<Named<Initializer>>,
    bias_initializer: Option<Named<Initializer>>,
    kernel_regularizer: Option<Named<Regularizer>>,
    bias_regularizer: Option<Named<Regularizer>>,
    activity_regularizer: Option<Named<Regularizer>>,
    kernel_constraint: Option<Named<Constraint>>,
    bias_constraint: Option<Named<Constraint>>,
}

/// Keras's name, or the whole object.
#[derive(Default)]
enum Named<T> {
    #[default]
    Default,
    Name(String),
    Whole(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(OfNamed(PhantomData))
    }
}

struct OfNamed<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OfNamed<T> {
    type Value = Named<T>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a name, or an object with arguments")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> std::result::Result<Named<T>, E> {
        Ok(Named::Name(name.to_owned()))
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> std::result::Result<Named<T>, M::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Named::Whole)
    }

    fn visit_unit<E: serde::de::Error>(self) -> std::result::Result<Named<T>, E> {
        Ok(Named::Default)
    }
}

impl<T> Named<T> {
    fn or_else(self, of_name: impl Fn(&str) -> Result<T>, default: impl Fn() -> T) -> Result<T> {
        match self {
            Self::Default => Ok(default()),
            Self::Name(name) => of_name(&name),
            Self::Whole(whole) => Ok(whole),
        }
    }
}

fn named<T>(given: Option<Named<T>>, of_name: impl Fn(&str) -> Result<T>) -> Result<Option<T>> {
    match given {
        None | Some(Named::Default) => Ok(None),
        Some(Named::Name(name)) => of_name(&name).map(Some),
        Some(Named::Whole(whole)) => Ok(Some(whole)),
    }
}

impl TryFrom<Written> for Config {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        let sizes = [Some(&written.kernel_size), written.strides.as_ref(), written.dilation_rate.as_ref()];
        let listed = sizes.into_iter().flatten().find_map(|sizes| match sizes {
            PerAxis::All(_) => None,
            PerAxis::Each(sizes) => Some(sizes.len()),
        });
        let Some(rank) = listed.or(written.rank) else {
            let what = "`kernel_size` as a list, or `rank`";
            return Err(Error::Missing { what, why: "a single number doesn't say how many axes there are" });
        };
        let all = |sizes: Option<PerAxis>| sizes.map_or(vec![1; rank], |sizes| sizes.of_rank(rank));
        let default = Self::new(written.filters, written.kernel_size.of_rank(rank));
        Ok(Self {
            strides: all(written.strides),
            padding: written.padding,
            data_format: written.data_format,
            dilation_rate: all(written.dilation_rate),
            groups: written.groups.unwrap_or(1),
            activation: written.activation.or_else(Activation::from_keras_name, Activation::default)?,
            bias: written.bias,
            implementation: written.implementation,
            dtype: written.dtype,
            kernel_initializer: named(written.kernel_initializer, Initializer::from_keras_name)?
                .unwrap_or(default.kernel_initializer),
            bias_initializer: named(written.bias_initializer, Initializer::from_keras_name)?
                .unwrap_or(default.bias_initializer),
            kernel_regularizer: named(written.kernel_regularizer, Regularizer::from_keras_name)?,
            bias_regularizer: named(written.bias_regularizer, Regularizer::from_keras_name)?,
            activity_regularizer: named(written.activity_regularizer, Regularizer::from_keras_name)?,
            kernel_constraint: named(written.kernel_constraint, Constraint::from_keras_name)?,
            bias_constraint: named(written.bias_constraint, Constraint::from_keras_name)?,
            filters: default.filters,
            kernel_size: default.kernel_size,
        })
    }
}
