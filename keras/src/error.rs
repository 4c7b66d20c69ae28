//! What can go wrong with a file, with the numbers and names that explain it.

use thiserror::Error;

/// `Result` with the error of reading, writing and running models.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a model could not be read, written or run.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {message}")]
    Io {
        /// The file.
        path: String,
        /// The kind of the system's error.
        kind: std::io::ErrorKind,
        /// The system's message.
        message: String,
    },
    /// A file is malformed or holds something other than expected.
    #[error("{path}: {}", one_line(problem))]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: Box<Problem>,
    },
    /// A model has layers that can't be run here; all of them are listed.
    #[error("layers that can't be run here: {}", list(.0))]
    UnsupportedLayers(Vec<UnsupportedLayer>),
    /// Something is wrong with a layer, an array or a device.
    #[error(transparent)]
    Core(#[from] locally_connected::Error),
}

fn list(layers: &[UnsupportedLayer]) -> String {
    layers.iter().map(UnsupportedLayer::to_string).collect::<Vec<_>>().join(", ")
}

/// A layer that can't be run here.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{name} ({class}{})", reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
pub struct UnsupportedLayer {
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: String,
    /// Why not, if it isn't just the class.
    pub reason: Option<String>,
}

fn arrays(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        _ => format!("{}: {}", names.len(), names.join(", ")),
    }
}

/// Messages of other crates may have several lines, or quote bytes of the file.
fn one_line(problem: &Problem) -> String {
    problem.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What is wrong with a file's contents, or keeps them from being written.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file name has no known extension.
    #[error("unknown format: the name must end in .h5, .hdf5, .keras, .safetensors or .npz")]
    UnknownExtension,
    /// The bytes aren't a file of that format.
    #[error("not a readable {format}: {message}")]
    Unreadable {
        /// Which format.
        format: &'static str,
        /// Its reader's message.
        message: String,
    },
    /// The bytes aren't an `.npy` file.
    #[error("not an .npy file: it doesn't begin with \\x93NUMPY")]
    NotNpy,
    /// A message of the reader or writer of a format.
    #[error("{0}")]
    Format(String),
    /// The file ends before its contents do.
    #[error("the file is cut off: it has {found} of {expected} bytes")]
    CutOff {
        /// Bytes found.
        found: u64,
        /// Bytes expected.
        expected: u64,
    },
    /// A text is far longer than the compressed file that it is in.
    #[error("its text has {found} bytes, over {most}: too many for a file of {file} bytes")]
    TextLength {
        /// Bytes of the text.
        found: u64,
        /// The most there may be.
        most: u64,
        /// Bytes of the file.
        file: u64,
    },
    /// The file doesn't hold a whole model.
    #[error("{0}")]
    NoModel(&'static str),
    /// An archive holds no model file, or several.
    #[error("one model's file is needed in it (.h5, .hdf5 or .keras), but it holds {}", arrays(.0))]
    Models(Vec<String>),
    /// The file names another backend than the caller does.
    #[error("the file says itself that its backend is {0}")]
    Backend(String),
    /// The weights of a file fit the architecture neither by names nor in order.
    #[error(
        "its weights fit the architecture neither by names nor in order: the file has weights of {} layers ({}), the architecture of {} ({})",
        found.len(), found.join(", "), expected.len(), expected.join(", ")
    )]
    Layers {
        /// The layers that the file has weights of.
        found: Vec<String>,
        /// The layers that should have weights.
        expected: Vec<String>,
    },
    /// An unknown version of a format.
    #[error("version {found} of {of} isn't known")]
    Version {
        /// Which format.
        of: &'static str,
        /// The version found.
        found: u32,
    },
    /// A file of Keras 3, with what is wrong with it.
    #[error("{problem} (saved by Keras {version})")]
    KerasVersion {
        /// The version of Keras that wrote it.
        version: String,
        /// What is wrong with it.
        problem: Box<Problem>,
    },
    /// Something is wrong with a part of the file.
    #[error("{part}: {problem}")]
    In {
        /// Which part.
        part: String,
        /// What is wrong with it.
        problem: Box<Problem>,
    },
    /// Text that should be JSON isn't.
    #[error("{what} is no JSON: {message}")]
    Json {
        /// Which text.
        what: &'static str,
        /// What the parser says.
        message: String,
    },
    /// Something is of another kind than it should be.
    #[error("{what} is no {expected}")]
    Malformed {
        /// What is malformed.
        what: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Something that is needed isn't there.
    #[error("{what} has no {part}")]
    Lacks {
        /// What lacks it.
        what: String,
        /// What is missing.
        part: String,
    },
    /// An attribute of the file can't be decoded.
    #[error("attribute \"{0}\" can't be decoded")]
    Attribute(String),
    /// A model of a class that can't be read.
    #[error("a model of class {0} can't be read: only Sequential and functional models can")]
    ModelClass(String),
    /// Two layers have the same name.
    #[error("two layers are named \"{0}\"")]
    TwoLayers(String),
    /// A layer is listed under another name than its config has.
    #[error("layer \"{layer}\" is named \"{own}\" by its config")]
    TwoNames {
        /// The name that it is listed under.
        layer: String,
        /// The name in its config.
        own: String,
    },
    /// The calls of a layer have an unknown form.
    #[error("the inputs of layer \"{0}\" can't be followed")]
    Inputs(String),
    /// A layer takes the output of a layer that isn't there.
    #[error("layer \"{layer}\" takes the output of \"{from}\", which isn't there")]
    UnknownInput {
        /// The layer.
        layer: String,
        /// The one that isn't there.
        from: String,
    },
    /// The model's list of inputs or outputs names a layer that isn't there.
    #[error("\"{layer}\" is listed among the model's {list}, but there is no such layer")]
    UnknownEnd {
        /// The layer.
        layer: String,
        /// `inputs` or `outputs`.
        list: &'static str,
    },
    /// Layers feed each other in a circle.
    #[error("{0} of the model's layers feed each other in a circle")]
    Circle(usize),
    /// A layer's config has another rank than its class.
    #[error("its config has {0} spatial axes")]
    Rank(usize),
    /// `Reshape` asks for a shape with another number of elements.
    #[error("{from:?} can't be reshaped to {to:?}")]
    Reshape {
        /// The shape of its input.
        from: Vec<usize>,
        /// The shape asked for.
        to: Vec<i64>,
    },
    /// The file has no weights of the layer.
    #[error("its weights are missing")]
    NoWeights,
    /// The file has another number of arrays for the layer than its config needs.
    #[error("the file has {found} weights of it, not {expected}")]
    WeightCount {
        /// Arrays found.
        found: usize,
        /// Arrays expected.
        expected: usize,
    },
    /// A layer has an unknown argument, which might change what it does.
    #[error("argument {argument} = {value} isn't known here")]
    Argument {
        /// The argument.
        argument: String,
        /// Its value.
        value: String,
    },
    /// An argument of a layer isn't supported with this value.
    #[error("{argument} = {value} is not supported: {why}")]
    Refused {
        /// The argument.
        argument: &'static str,
        /// Its value.
        value: String,
        /// What is supported instead.
        why: &'static str,
    },
    /// Several things are wrong at once.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    All(Vec<Self>),
    /// The file has weights for another number of layers of a class than the model has.
    #[error("the file has weights for {found} layers of class {class}, not {expected}")]
    LayerCount {
        /// The class.
        class: String,
        /// Layers found.
        found: usize,
        /// Layers expected.
        expected: usize,
    },
    /// The elements of an array have a type that isn't read.
    #[error("values of type {found}, not {expected}")]
    ElementType {
        /// The type found.
        found: String,
        /// The types that are read.
        expected: &'static str,
    },
    /// An array has another shape than the layer needs.
    #[error("{what} must have shape {expected:?}, but has {found:?}")]
    Shape {
        /// Which array.
        what: &'static str,
        /// The shape expected.
        expected: Vec<usize>,
        /// The shape found.
        found: Vec<usize>,
    },
    /// The weights don't fit the description, but would if one argument had another value.
    #[error("{problem}; `{argument}` {value:?} would fit its weights")]
    WouldFit {
        /// What is wrong.
        problem: Box<Problem>,
        /// The argument.
        argument: &'static str,
        /// The value that would fit.
        value: Vec<usize>,
    },
    /// The HDF5 file uses something that isn't read here.
    #[error(
        "its HDF5 has {0}, which isn't read here: HDF5's own `h5repack -l CONTI OLD NEW` rewrites it, or h5py does, dataset by dataset"
    )]
    Hdf5(String),
    /// An array has another number of values than its shape says.
    #[error("{what} of shape {shape:?} has {found} values")]
    Values {
        /// Which array.
        what: &'static str,
        /// Its shape.
        shape: Vec<usize>,
        /// Values found.
        found: usize,
    },
    /// A shape has more elements than can be addressed.
    #[error("shape {0:?} is too large: it has too many elements")]
    TooLarge(Vec<u64>),
    /// An array claims more values than the file has bytes for.
    #[error("its weights of shape {shape:?} don't fit into the file's {bytes} bytes")]
    OverFile {
        /// The shape claimed.
        shape: Vec<usize>,
        /// Bytes of the file.
        bytes: u64,
    },
    /// The arrays that are read take more than the whole file, many times over: they share their bytes.
    #[error("its arrays share their bytes: to read them takes the file's {bytes} bytes more than {times} times")]
    ReadAgain {
        /// How often all bytes of the file may be read.
        times: u64,
        /// Bytes of the file.
        bytes: u64,
    },
    /// A layer's tables would be far larger than the weights that the file holds.
    #[error("input {input:?}, kernel {kernel:?} and strides {strides:?} don't fit a file with {stored} weights")]
    OverWeights {
        /// The input's shape.
        input: Vec<usize>,
        /// The window's sizes.
        kernel: Vec<usize>,
        /// The steps.
        strides: Vec<usize>,
        /// Weights in the file.
        stored: u64,
    },
    /// An archive holds no array, or several, where one is needed.
    #[error("one array is needed, but it holds {}", arrays(.0))]
    Arrays(Vec<String>),
    /// An `.npy` header claims more bytes than such headers have.
    #[error("its header claims {found} bytes, over {limit}")]
    HeaderLength {
        /// Bytes claimed.
        found: usize,
        /// The most there may be.
        limit: usize,
    },
    /// An array has more axes than NumPy's have.
    #[error("its array has {found} axes, over {limit}")]
    Axes {
        /// Axes found.
        found: usize,
        /// The most there may be.
        limit: usize,
    },
    /// An `.npy` header ends too early.
    #[error("its header is cut off")]
    HeaderCutOff,
    /// An `.npy` header isn't like NumPy's.
    #[error("its header isn't understood: {0}")]
    Header(String),
    /// An `.npy` file has another number of bytes than its header says.
    #[error("shape {shape:?} of '{descr}' needs {expected} bytes, but the file has {found}")]
    Bytes {
        /// The shape.
        shape: Vec<usize>,
        /// NumPy's name of the type.
        descr: String,
        /// Bytes expected.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// A name is too long for a list of names in HDF5.
    #[error("a name of {0} bytes is too long or too short for an HDF5 file")]
    NameLength(usize),
    /// A name that an HDF5 group can't have.
    #[error("\"{0}\" can't be the name of an HDF5 group")]
    GroupName(String),
    /// Two layers would be stored under the same name.
    #[error("two layers need the HDF5 name \"{0}\"")]
    TwoGroups(String),
    /// What is wrong with a layer's configuration, as the layer itself says.
    #[error(transparent)]
    Core(#[from] locally_connected::Error),
}

/// Most characters of a part's name in a message: each layer may keep one.
const SHOWN: usize = 300;

pub(crate) fn cut(mut part: String) -> String {
    if let Some((end, _)) = part.char_indices().nth(SHOWN) {
        part.truncate(end);
        part.push('…');
    }
    part
}

impl Problem {
    /// A reader's or writer's message.
    pub(crate) fn format(error: impl std::fmt::Display) -> Self {
        Self::Format(error.to_string())
    }

    /// Something lacks a part.
    pub(crate) fn lacks(what: impl Into<String>, part: impl Into<String>) -> Self {
        Self::Lacks { what: what.into(), part: cut(part.into()) }
    }

    /// Something is of another kind than expected.
    pub(crate) fn malformed(what: impl Into<String>, expected: &'static str) -> Self {
        Self::Malformed { what: what.into(), expected }
    }

    /// The same problem, with the part of the file that it is in.
    pub(crate) fn within(self, part: impl Into<String>) -> Self {
        Self::In { part: cut(part.into()), problem: Box::new(self) }
    }

    /// Whether the whole file can't be read because of it, and not just one of its layers.
    pub(crate) fn is_of_file(&self) -> bool {
        match self {
            Self::Hdf5(_) => true,
            Self::In { problem, .. } => problem.is_of_file(),
            _ => false,
        }
    }

    /// The same problem, with the version of Keras that wrote the file, which may explain it.
    pub(crate) fn by_keras(self, version: &str) -> Self {
        match version.starts_with('3') {
            true => Self::KerasVersion { version: version.to_owned(), problem: Box::new(self) },
            false => self,
        }
    }

    /// The error for the file that has the problem.
    pub(crate) fn of_file(self, path: impl Into<String>) -> Error {
        Error::File { path: path.into(), problem: Box::new(self) }
    }
}
