//! Finds and reads the arrays of a model's layers, in any format.

use crate::error::Problem;
use crate::shapes::elements;
use half::{bf16, f16};
use hdf5_pure::{ChunkIndex, DType, Datatype, DatatypeByteOrder, FormatError};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::cell::Cell;

/// Where the weights of a model's layers are found, by the layers' own names.
pub(crate) trait Source {
    /// The arrays of a layer in Keras's order, without their values.
    fn arrays(&self, name: &str) -> Result<Vec<Array<'_>>, Problem>;

    /// The arrays of a layer whose weights should have these names, in that order.
    fn named(&self, name: &str, _: &[&'static str]) -> Result<Vec<Array<'_>>, Problem> {
        self.arrays(name)
    }

    /// Where the weights of a model inside the model are; `layers` are the names and classes of its layers, in order.
    fn model(&self, name: &str, layers: &[(&str, &str)]) -> Box<dyn Source + '_>;

    /// Where the weights of `layer`, inside the wrapper `name`, are.
    fn wrapped(&self, name: &str, layer: &str) -> Box<dyn Source + '_>;
}

/// No weights.
pub(crate) struct Nothing;

impl Source for Nothing {
    fn arrays(&self, _: &str) -> Result<Vec<Array<'_>>, Problem> {
        Err(Problem::NoWeights)
    }

    fn model(&self, _: &str, _: &[(&str, &str)]) -> Box<dyn Source + '_> {
        Box::new(Self)
    }

    fn wrapped(&self, _: &str, _: &str) -> Box<dyn Source + '_> {
        Box::new(Self)
    }
}

/// An array that isn't read yet.
pub(crate) struct Array<'a> {
    pub shape: Vec<usize>,
    values: Stored<'a>,
}

enum Stored<'a> {
    Hdf5(Box<hdf5_pure::Dataset>, &'a Room),
    Safetensors(TensorView<'a>),
}

impl<'a> Array<'a> {
    /// An HDF5 dataset in a file.
    pub(crate) fn hdf5(dataset: hdf5_pure::Dataset, room: &'a Room) -> Result<Self, Problem> {
        if dataset.chunk_index().map_err(hdf5_problem)? == Some(ChunkIndex::BTreeV2) {
            return Err(Problem::Hdf5("a version 2 B-tree as chunk index".into()));
        }
        let dtype = dataset.dtype().map_err(Problem::format)?;
        if !matches!(dtype, DType::F32 | DType::F64) && half_of(&dtype).is_none() {
            let (found, expected) = (dtype.to_string(), "float16, float32 or float64");
            return Err(Problem::ElementType { found, expected });
        }
        let shape = dataset.shape().map_err(Problem::format)?;
        let fits: Option<Vec<usize>> = shape.iter().map(|&size| usize::try_from(size).ok()).collect();
        let shape = fits.ok_or(Problem::TooLarge(shape))?;
        // Values that were never written take no room, so a tiny file may claim any size.
        let size = dataset.element_size().map_err(Problem::format)?;
        let bytes = elements(&shape)?.checked_mul(size);
        if bytes.is_none_or(|bytes| stored_bytes(&dataset, bytes) > room.file) {
            return Err(Problem::OverFile { shape, bytes: room.file });
        }
        Ok(Self { shape, values: Stored::Hdf5(Box::new(dataset), room) })
    }

    /// A tensor of a `.safetensors` file.
    pub(crate) fn safetensors(view: TensorView<'a>) -> Self {
        Self { shape: view.shape().to_vec(), values: Stored::Safetensors(view) }
    }

    /// The values, as f32.
    pub(crate) fn read(self) -> Result<Vec<f32>, Problem> {
        match self.values {
            Stored::Hdf5(dataset, room) => {
                let size = dataset.element_size().map_err(Problem::format)?;
                room.take(stored_bytes(&dataset, elements(&self.shape)?.saturating_mul(size)))?;
                let half = half_of(&dataset.dtype().map_err(Problem::format)?);
                read_rows(&dataset, &self.shape, half).map_err(hdf5_problem)
            }
            Stored::Safetensors(view) => {
                let bytes = view.data();
                match view.dtype() {
                    Dtype::F32 => Ok(convert(bytes, f32::from_le_bytes)),
                    Dtype::F64 => Ok(convert(bytes, |b| f64::from_le_bytes(b) as f32)),
                    Dtype::F16 => Ok(convert(bytes, |b| f16::from_le_bytes(b).to_f32())),
                    Dtype::BF16 => Ok(convert(bytes, |b| bf16::from_le_bytes(b).to_f32())),
                    other => {
                        Err(Problem::ElementType { found: format!("{other:?}"), expected: "F16, BF16, F32 or F64" })
                    }
                }
            }
        }
    }
}

/// How much of an HDF5 file has been read: datasets may share their bytes, so that a small file could hold a large array many times over.
pub(crate) struct Room {
    /// Bytes of the file.
    file: u64,
    left: Cell<u64>,
}

impl Room {
    /// How often all bytes of a file may be read: layers may share an array.
    const TIMES: u64 = 8;

    /// For a file of so many bytes.
    pub(crate) fn of(file: u64) -> Self {
        Self { file, left: Cell::new(file.saturating_mul(Self::TIMES)) }
    }

    fn take(&self, bytes: u64) -> Result<(), Problem> {
        let left =
            self.left.get().checked_sub(bytes).ok_or(Problem::ReadAgain { times: Self::TIMES, bytes: self.file })?;
        self.left.set(left);
        Ok(())
    }
}

/// The fewest bytes of a file that so many of a dataset's may be stored in: a compressed byte stands for 1,100 at most.
fn stored_bytes(dataset: &hdf5_pure::Dataset, bytes: u64) -> u64 {
    if dataset.filters().is_empty() { bytes } else { bytes.div_ceil(1100) }
}

/// The most bytes of a dataset that are read at a time.
const BLOCK: usize = 8 << 20;

/// A dataset's values, read some rows at a time, so that there is no second copy of all of them. Compressed datasets
/// are read at once: for each run of rows the same pieces would be unpacked again.
fn read_rows(
    dataset: &hdf5_pure::Dataset,
    shape: &[usize],
    half: Option<fn([u8; 2]) -> f32>,
) -> Result<Vec<f32>, hdf5_pure::Error> {
    let all = shape.iter().product::<usize>();
    let (rows, row) = match shape {
        [rows, rest @ ..] => (*rows, rest.iter().product::<usize>() * dataset.element_size()? as usize),
        [] => (1, 0),
    };
    if shape.is_empty() || rows.saturating_mul(row) <= BLOCK || !dataset.filters().is_empty() {
        return match half {
            None => dataset.read_f32(),
            Some(half) => Ok(convert(&dataset.read_raw()?, half)),
        };
    }
    let mut values = Vec::with_capacity(all);
    let at_once = (BLOCK / row.max(1)).max(1);
    for first in (0..rows).step_by(at_once) {
        let (first, count) = (first as u64, at_once.min(rows - first) as u64);
        values.extend(match half {
            None => dataset.read_f32_rows(first, count)?,
            Some(half) => convert(&dataset.read_raw_rows(first, count)?, half),
        });
    }
    Ok(values)
}

/// The HDF5 reader's error. What newer libraries write, and the reader can't read, is told apart from damage.
pub(crate) fn hdf5_problem(error: hdf5_pure::Error) -> Problem {
    let hdf5_pure::Error::Format(format) = &error else { return Problem::format(error) };
    match format {
        FormatError::InvalidLayoutVersion(5) => Problem::Hdf5("data layout version 5 (of HDF5 2.0)".into()),
        FormatError::UnsupportedVirtualLayout => Problem::Hdf5("a virtual dataset".into()),
        FormatError::UnsupportedFilter(filter) => Problem::Hdf5(format!("the filter {filter}")),
        _ => Problem::format(error),
    }
}

/// How a 16-bit float of that type is widened, which the HDF5 reader doesn't do; none for other types.
fn half_of(dtype: &DType) -> Option<fn([u8; 2]) -> f32> {
    let DType::Other(other) = dtype else { return None };
    let Datatype::FloatingPoint { size: 2, byte_order, layout } = &**other else { return None };
    match (layout.exponent_size, layout.mantissa_size, byte_order) {
        (5, 10, DatatypeByteOrder::LittleEndian) => Some(|b| f16::from_le_bytes(b).to_f32()),
        (5, 10, DatatypeByteOrder::BigEndian) => Some(|b| f16::from_be_bytes(b).to_f32()),
        (8, 7, DatatypeByteOrder::LittleEndian) => Some(|b| bf16::from_le_bytes(b).to_f32()),
        (8, 7, DatatypeByteOrder::BigEndian) => Some(|b| bf16::from_be_bytes(b).to_f32()),
        _ => None,
    }
}

/// Converts `bytes`, `N` at a time.
pub(crate) fn convert<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (values, _) = bytes.as_chunks::<N>();
    values.iter().map(|value| convert(*value)).collect()
}

/// The tensors of a model inside the model: their names begin with those of the layers around.
pub(crate) struct Tensors<'a> {
    pub tensors: &'a SafeTensors<'a>,
    /// The names of the layers around, each followed by a slash.
    pub path: String,
}

impl Tensors<'_> {
    fn array(&self, name: &str, what: &str) -> Result<Option<Array<'_>>, Problem> {
        let Ok(view) = self.tensors.tensor(&format!("{}{name}/{what}", self.path)) else { return Ok(None) };
        elements(view.shape())?;
        Ok(Some(Array::safetensors(view)))
    }
}

impl Source for Tensors<'_> {
    fn arrays(&self, name: &str) -> Result<Vec<Array<'_>>, Problem> {
        let kernel = self.named(name, &["kernel"])?;
        Ok(kernel.into_iter().chain(self.array(name, "bias")?).collect())
    }

    fn named(&self, name: &str, names: &[&'static str]) -> Result<Vec<Array<'_>>, Problem> {
        let lacks = |what: &str| Problem::lacks("the file", format!("tensor \"{}{name}/{what}\"", self.path));
        names.iter().map(|what| self.array(name, what)?.ok_or_else(|| lacks(what))).collect()
    }

    fn model(&self, name: &str, _: &[(&str, &str)]) -> Box<dyn Source + '_> {
        Box::new(Tensors { tensors: self.tensors, path: format!("{}{name}/", self.path) })
    }

    // The layer inside a wrapper doesn't run, and isn't written in this format.
    fn wrapped(&self, _: &str, _: &str) -> Box<dyn Source + '_> {
        Box::new(Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file's own bytes may be read, and some of them again, but no more than eight files of them.
    #[test]
    fn arrays_that_share_their_bytes_are_read_some_times() {
        let room = Room::of(100);
        assert_eq!((0..8).map(|_| room.take(100)).collect::<Vec<_>>(), vec![Ok(()); 8]);
        assert_eq!(room.take(1), Err(Problem::ReadAgain { times: 8, bytes: 100 }));
        assert_eq!((Room::of(0).take(0), Room::of(u64::MAX).take(u64::MAX)), (Ok(()), Ok(())));
    }
}
