//! The arrays of a model's layers, wherever they are stored.

use super::error::Problem;
use super::shapes::elements;
use half::{bf16, f16};
use hdf5_pure::{DType, Datatype, DatatypeByteOrder};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// Where a model's weights are.
pub(super) trait Source {
    /// The arrays of a layer in Keras's order, without their values.
    fn arrays(&self, name: &str, class_name: &str) -> Result<Vec<Array<'_>>, Problem>;
}

/// One array, not read yet.
pub(super) struct Array<'a> {
    pub shape: Vec<usize>,
    values: Values<'a>,
}

enum Values<'a> {
    Hdf5(Box<hdf5_pure::Dataset>),
    Safetensors(TensorView<'a>),
}

impl<'a> Array<'a> {
    /// An HDF5 dataset in a file of `file_len` bytes.
    pub(super) fn hdf5(dataset: hdf5_pure::Dataset, file_len: u64) -> Result<Self, Problem> {
        let dtype = dataset.dtype().map_err(Problem::format)?;
        if !matches!(dtype, DType::F32 | DType::F64) && half_of(&dtype).is_none() {
            let (found, expected) = (dtype.to_string(), "float16, float32 or float64");
            return Err(Problem::ElementType { found, expected });
        }
        let shape = dataset.shape().map_err(Problem::format)?;
        let fits: Option<Vec<usize>> = shape.iter().map(|&size| usize::try_from(size).ok()).collect();
        let shape = fits.ok_or(Problem::TooLarge(shape))?;
        // Nothing is stored for values that were never written, so that a tiny file may claim any size. A compressed
        // byte stands for a thousand at the most.
        let size = dataset.element_size().map_err(Problem::format)?;
        let most = if dataset.filters().is_empty() { file_len } else { file_len.saturating_mul(1100) };
        if elements(&shape)?.checked_mul(size).is_none_or(|bytes| bytes > most) {
            return Err(Problem::OverFile { shape, bytes: file_len });
        }
        Ok(Self { shape, values: Values::Hdf5(Box::new(dataset)) })
    }

    /// The values, as f32.
    pub(super) fn read(self) -> Result<Vec<f32>, Problem> {
        match self.values {
            Values::Hdf5(dataset) => {
                let read = || match half_of(&dataset.dtype()?) {
                    None => dataset.read_f32(),
                    Some(half) => Ok(convert(&dataset.read_raw()?, half)),
                };
                read().map_err(|error: hdf5_pure::Error| Problem::format(error))
            }
            Values::Safetensors(view) => {
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

/// How a 16-bit float of that type is widened, which the HDF5 reader leaves to us; none for other types.
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
pub(super) fn convert<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (values, _) = bytes.as_chunks::<N>();
    values.iter().map(|value| convert(*value)).collect()
}

impl Source for SafeTensors<'_> {
    fn arrays(&self, name: &str, _: &str) -> Result<Vec<Array<'_>>, Problem> {
        let mut arrays = Vec::new();
        for what in ["kernel", "bias"] {
            if let Ok(view) = self.tensor(&format!("{name}/{what}")) {
                elements(view.shape())?;
                arrays.push(Array { shape: view.shape().to_vec(), values: Values::Safetensors(view) });
            } else if what == "kernel" {
                return Err(Problem::lacks("the file", format!("tensor \"{name}/kernel\"")));
            }
        }
        Ok(arrays)
    }
}
