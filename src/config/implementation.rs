//! How [`Config::implementation`](super::Config::implementation) is written down: the planner's choice as `"auto"`.

use super::Implementation;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(rename = "Implementation", rename_all = "snake_case")]
enum Written {
    Auto,
    Loop,
    DenseMatmul,
    SparseGather,
}

pub(crate) fn serialize<S: Serializer>(asked: &Option<Implementation>, to: S) -> Result<S::Ok, S::Error> {
    let written = match asked {
        None => Written::Auto,
        Some(Implementation::Loop) => Written::Loop,
        Some(Implementation::DenseMatmul) => Written::DenseMatmul,
        Some(Implementation::SparseGather) => Written::SparseGather,
    };
    written.serialize(to)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Implementation>, D::Error> {
    Ok(match Written::deserialize(from)? {
        Written::Auto => None,
        Written::Loop => Some(Implementation::Loop),
        Written::DenseMatmul => Some(Implementation::DenseMatmul),
        Written::SparseGather => Some(Implementation::SparseGather),
    })
}
