//! The user's `keras.json`, for callers that ask for it.

use super::data_format_from_keras;
use crate::error::{Problem, Result};
use crate::files::read_file;
use crate::json::{self, from_json};
use locally_connected::DataFormat;
use std::path::{Path, PathBuf};

/// Where Keras keeps its defaults: `keras.json` in the folder that `KERAS_HOME` names, else in `.keras` of the user's
/// home folder. None if the user has no home folder.
#[must_use]
pub fn keras_json_path() -> Option<PathBuf> {
    let home = || std::env::home_dir().map(|home| home.join(".keras"));
    std::env::var_os("KERAS_HOME").map(PathBuf::from).or_else(home).map(|folder| folder.join("keras.json"))
}

/// The `image_data_format` of a `keras.json`, for example that of [`keras_json_path`]: the `data_format` that Keras
/// takes for None. This crate never reads that file by itself and takes `channels_last`. That is also the answer if the
/// file isn't there or doesn't say.
///
/// # Errors
/// [`crate::Error::Io`] where the file can't be read; [`crate::Error::File`] where it isn't JSON;
/// [`locally_connected::Error::UnknownValue`].
pub fn data_format_from_keras_json(path: impl AsRef<Path>) -> Result<DataFormat> {
    let path = path.as_ref();
    if !path.exists() {
        return Ok(DataFormat::ChannelsLast);
    }
    let bytes = read_file(path)?;
    let parsed = String::from_utf8(bytes).map_err(|_| Problem::malformed("it", "UTF-8"));
    let parsed = parsed.and_then(|text| from_json(&text).map_err(Problem::format));
    let parsed = parsed.map_err(|problem| problem.of_file(path.display().to_string()))?;
    let given = parsed.as_object().and_then(|defaults| json::given(defaults, "image_data_format"));
    Ok(given.map_or(Ok(DataFormat::ChannelsLast), data_format_from_keras)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_data_format() {
        let folder = std::env::temp_dir().join(format!("keras-json-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap_or_default();
        let path = folder.join("keras.json");
        let read = |text: &str| {
            std::fs::write(&path, text).map_err(|error| error.to_string())?;
            data_format_from_keras_json(&path).map_err(|error| error.to_string())
        };
        let first = r#"{"floatx": "float32", "epsilon": 1e-07, "backend": "tensorflow", "image_data_format": "channels_first"}"#;
        assert_eq!(read(first), Ok(DataFormat::ChannelsFirst));
        assert_eq!(read("{}"), Ok(DataFormat::ChannelsLast));
        assert!(read(r#"{"image_data_format": "NHWC"}"#).is_err_and(|error| error.contains("NHWC")));
        assert!(read("{").is_err_and(|error| error.contains("keras.json")));
        let none = data_format_from_keras_json(folder.join("none.json"));
        assert_eq!(none.ok(), Some(DataFormat::ChannelsLast));
        std::fs::remove_dir_all(&folder).unwrap_or_default();
    }
}
