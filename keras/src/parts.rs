//! What a file of one of the formats holds, and its bytes: apart, so that a browser fetches what writes the formats when it saves.

use crate::archive::zip_bytes;
use crate::error::{Problem, Result};
use crate::metadata::METADATA_KEY;
use crate::npy;
use crate::tree::Tree;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashMap;

/// What [`ModelFile::to_bytes`](crate::ModelFile::to_bytes) makes the bytes of: texts and arrays with their places in the file. It can be
/// written down, so that another program of the same build makes the bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileParts<'a> {
    /// The model's name, for errors.
    pub(crate) model: String,
    pub(crate) parts: Parts<'a>,
}

/// The parts by formats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Parts<'a> {
    Hdf5(Tree<'a>),
    Keras { metadata: String, config: String, weights: Tree<'a> },
    Safetensors { metadata: String, arrays: Vec<Named<'a>> },
    Npz(Vec<Named<'a>>),
}

/// A named array, its shape and its values.
pub(crate) type Named<'a> = (String, Vec<usize>, Cow<'a, [f32]>);

impl FileParts<'_> {
    /// The bytes of the file.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) for names that a format can't express.
    pub fn into_bytes(self) -> Result<Vec<u8>> {
        let bytes = match self.parts {
            Parts::Hdf5(root) => root.into_bytes(),
            Parts::Keras { metadata, config, weights } => archive(metadata, config, weights),
            Parts::Safetensors { metadata, arrays } => safetensors(metadata, &arrays),
            Parts::Npz(arrays) => {
                let arrays = arrays.iter().map(|(name, shape, values)| (name.clone(), shape.clone(), &values[..]));
                return npy::npz_bytes(&arrays.collect::<Vec<_>>());
            }
        };
        bytes.map_err(|problem| problem.of_file(&self.model))
    }
}

fn archive(metadata: String, config: String, weights: Tree<'_>) -> Result<Vec<u8>, Problem> {
    let files = [
        ("metadata.json", metadata.into_bytes()),
        ("config.json", config.into_bytes()),
        ("model.weights.h5", weights.into_bytes()?),
    ];
    zip_bytes(files.iter().map(|(name, contents)| (*name, contents.as_slice())))
}

fn safetensors(metadata: String, arrays: &[Named<'_>]) -> Result<Vec<u8>, Problem> {
    let views = arrays.iter().map(|(name, shape, data)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(data));
        view.map(|view| (name, view)).map_err(|error| Problem::format(error).within(name))
    });
    let views = views.collect::<Result<Vec<_>, _>>()?;
    safetensors::serialize(views, Some(HashMap::from([(METADATA_KEY.to_owned(), metadata)]))).map_err(Problem::format)
}
