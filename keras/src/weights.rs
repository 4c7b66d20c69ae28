//! Finds and reads the arrays of a model's layers, in any format.

use crate::archive::DEFLATE;
use crate::contents::Contents;
use crate::error::Problem;
use crate::numbers::Float;
use crate::shapes::elements;
use hdf5_pure::{
    ChunkIndex, DType, Dataset, Datatype, DatatypeByteOrder, FixedPointLayout, FloatingPointLayout, FormatError, Layout,
};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::cell::{Cell, OnceCell};
use std::rc::Rc;

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
    /// With the bytes of the room that it takes.
    Hdf5 {
        array: Rc<Hdf5Array>,
        float: Float,
        is_big_endian: bool,
        bytes: u64,
        room: &'a Room,
    },
    Safetensors(TensorView<'a>, &'a Room),
}

/// A dataset of an HDF5 file. Many layers may list it: it is looked at once.
pub(crate) struct Hdf5Array {
    pub dataset: Dataset,
    file: Contents,
    described: OnceCell<Result<Described, Problem>>,
}

/// What an array is like.
#[derive(Clone)]
struct Described {
    extent: Extent,
    float: Float,
    is_big_endian: bool,
}

impl Hdf5Array {
    pub(crate) fn new(dataset: Dataset, file: Contents) -> Self {
        Self { dataset, file, described: OnceCell::new() }
    }

    fn describe(&self, room: &Room) -> Result<Described, Problem> {
        let datatype = self.dataset.datatype().map_err(Problem::format)?;
        let Some((float, is_big_endian)) = float_of(&datatype) else {
            let found = match self.dataset.dtype().map_err(Problem::format)? {
                DType::F32 | DType::F64 => "a float of another layout".into(),
                other => other.to_string(),
            };
            return Err(Problem::ElementType { found, expected: "float16, float32 or float64" });
        };
        let Extent { shape, bytes } = room.extent(&self.dataset)?;
        // They are widened to twice as many bytes.
        let bytes = if float.size() < size_of::<f32>() { bytes.saturating_mul(2) } else { bytes };
        Ok(Described { extent: Extent { shape, bytes }, float, is_big_endian })
    }

    /// Its one whole number; none if it is another number, or less than 0.
    pub(crate) fn integer(&self) -> Result<Option<u64>, Problem> {
        let Datatype::FixedPoint { size: size @ 1..=8, byte_order, layout } =
            self.dataset.datatype().map_err(Problem::format)?
        else {
            return Ok(None);
        };
        let usual = FixedPointLayout { bit_offset: 0, bit_precision: 8 * size as u16, ..layout };
        let Some(is_big_endian) = is_big_endian(byte_order).filter(|_| layout == usual) else { return Ok(None) };
        let mut bytes = Vec::new();
        self.read(size.into(), |read| bytes.extend_from_slice(read))?;
        if is_big_endian {
            bytes.reverse();
        }
        let is_negative = layout.signed && bytes.last().is_some_and(|&byte| byte > i8::MAX as u8);
        let number = bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
        Ok((!is_negative).then_some(number))
    }

    /// Calls `take` with all bytes of its values in order. Those that lie in one piece come some at a time, so that they are never all in
    /// memory.
    fn read(&self, size: u64, mut take: impl FnMut(&[u8])) -> Result<(), Problem> {
        let layout = self.dataset.layout().map_err(hdf5_problem)?;
        let piece = match layout {
            Layout::Contiguous { address: Some(at), size: stored } if stored == size => self.file.part(at, size),
            // What isn't as it should be the library explains.
            _ => None,
        };
        let Some(piece) = piece else {
            take(&self.dataset.read_raw().map_err(hdf5_problem)?);
            return Ok(());
        };
        let mut block = vec![0; size.min(BLOCK) as usize];
        for at in (0..size).step_by(BLOCK as usize) {
            let read = piece.read(at, &mut block).map_err(Problem::format)?;
            take(block.get(..read).unwrap_or_default());
        }
        Ok(())
    }
}

impl<'a> Array<'a> {
    /// An array of an HDF5 file.
    pub(crate) fn hdf5(array: Rc<Hdf5Array>, room: &'a Room) -> Result<Self, Problem> {
        let described = array.described.get_or_init(|| array.describe(room)).clone()?;
        let Described { extent: Extent { shape, bytes }, float, is_big_endian } = described;
        Ok(Self { shape, values: Stored::Hdf5 { array, float, is_big_endian, bytes, room } })
    }

    /// A tensor of a `.safetensors` file.
    pub(crate) fn safetensors(view: TensorView<'a>, room: &'a Room) -> Self {
        Self { shape: view.shape().to_vec(), values: Stored::Safetensors(view, room) }
    }

    /// The values, as f32.
    pub(crate) fn read(self) -> Result<Vec<f32>, Problem> {
        match self.values {
            Stored::Hdf5 { array, float, is_big_endian, bytes, room } => {
                room.take(bytes)?;
                let numbers = elements(&self.shape)?;
                let mut values = Vec::with_capacity(usize::try_from(numbers).unwrap_or_default());
                let size = numbers.saturating_mul(float.size() as u64);
                array.read(size, |bytes| values.extend(float.values(bytes, is_big_endian)))?;
                Ok(values)
            }
            Stored::Safetensors(view, room) => {
                let bytes = view.data();
                room.take(bytes.len() as u64)?;
                let float = match view.dtype() {
                    Dtype::F32 => Float::Binary32,
                    Dtype::F64 => Float::Binary64,
                    Dtype::F16 => Float::Binary16,
                    Dtype::BF16 => Float::Bfloat16,
                    other => {
                        let (found, expected) = (format!("{other:?}"), "F16, BF16, F32 or F64");
                        return Err(Problem::ElementType { found, expected });
                    }
                };
                Ok(float.values(bytes, false))
            }
        }
    }
}

/// How much of a file's arrays has been read: they may share their bytes, so that a small file could hold a large array many times over.
pub(crate) struct Room {
    /// Bytes of the file.
    file: u64,
    /// How many of its bytes each byte of the file as it was packed stands for.
    packing: u64,
    left: Cell<u64>,
    /// What may still be kept of chunks, in bytes.
    chunks_left: Cell<u64>,
}

/// An array's shape, and the fewest bytes of its file that it may be stored in, with all of its chunks.
#[derive(Clone)]
pub(crate) struct Extent {
    pub shape: Vec<usize>,
    bytes: u64,
}

/// The filters of HDF5 that leave an array's bytes as many as they are, nearly: shuffle, and a checksum.
const NO_COMPRESSION: [u16; 2] = [2, 3];
/// Those that leave out bits of its numbers, before they are compressed.
const OF_NUMBERS: [u16; 2] = [5, 6];
/// Most filters of an array: HDF5 knows six.
const MOST_FILTERS: usize = 8;
/// The most axes of an array. Keras's have six at most; each takes time for each row of each chunk.
const MOST_AXES: usize = 8;
/// How often an array may go into one of its chunks, where that is larger than this, in bytes: all of a chunk is worked through.
const OF_ARRAY: u64 = 4;
const LARGE: u64 = 1 << 20;
/// What the library keeps of a chunk, and of where it is along each axis, in bytes; and how much of that for each byte of a file, at most.
const OF_CHUNK: u64 = 350;
const OF_AXIS: u64 = 24;
const OF_BYTE: u64 = 128;
/// Files may take so much in any case, in bytes.
const SMALL: u64 = 1 << 16;

impl Room {
    /// How often all bytes of a file may be read: layers may share an array.
    const TIMES: u64 = 8;

    /// For a file of so many bytes, which were unpacked from so many.
    pub(crate) fn of(file: u64, packed: u64) -> Self {
        let (left, chunks) = (file.saturating_mul(Self::TIMES), file.max(SMALL).saturating_mul(OF_BYTE));
        Self { file, packing: file.div_ceil(packed.max(1)), left: Cell::new(left), chunks_left: Cell::new(chunks) }
    }

    /// Whether the file has so many bytes, or few more.
    pub(crate) fn holds(&self, bytes: u64) -> bool {
        bytes <= self.file.max(SMALL)
    }

    fn take(&self, bytes: u64) -> Result<(), Problem> {
        let left =
            self.left.get().checked_sub(bytes).ok_or(Problem::ReadAgain { times: Self::TIMES, bytes: self.file })?;
        self.left.set(left);
        Ok(())
    }

    /// The extent of an array that fits into the file: values that were never written take no room, so a tiny file may claim any size.
    pub(crate) fn extent(&self, dataset: &Dataset) -> Result<Extent, Problem> {
        let is_compressed = is_compressed(dataset)?;
        let stored = dataset.shape().map_err(Problem::format)?;
        let too_large = || Problem::TooLarge(stored.clone());
        let shape: Option<Vec<usize>> = stored.iter().map(|&size| usize::try_from(size).ok()).collect();
        let shape = shape.ok_or_else(too_large)?;
        // All of its numbers, too, where addresses have 32 bits.
        let numbers = elements(&shape)?;
        usize::try_from(numbers).map_err(|_| too_large())?;
        if stored.len() > MOST_AXES {
            return Err(Problem::Hdf5("an array of more than eight axes".into()));
        }
        let cut = dataset.chunk_shape().map_err(Problem::format)?;
        let element = dataset.element_size().map_err(Problem::format)?;
        let (mut chunks, mut bytes, mut of_chunk) = (1, element, element);
        for (axis, &size) in stored.iter().enumerate() {
            // An array that isn't cut is as one of chunks of one.
            let chunk = cut.as_ref().map_or(Some(1), |cut| cut.get(axis).copied());
            let chunk = chunk.filter(|&chunk| chunk > 0).ok_or_else(|| Problem::Hdf5("chunks of no size".into()))?;
            let count = size.div_ceil(chunk);
            chunks = count.saturating_mul(chunks);
            bytes = count.saturating_mul(chunk).saturating_mul(bytes);
            of_chunk = chunk.saturating_mul(of_chunk);
        }
        if is_compressed {
            bytes = bytes.div_ceil(DEFLATE).saturating_mul(self.packing);
        }
        // Whatever lists chunks takes a byte for each.
        if bytes > self.file || (cut.is_some() && chunks > self.file) {
            return Err(Problem::OverFile { shape, bytes: self.file });
        }
        if let Some(cut) = cut {
            if of_chunk > LARGE.max(numbers.saturating_mul(element).saturating_mul(OF_ARRAY)) {
                return Err(Problem::Hdf5("chunks that are much larger than their array".into()));
            }
            let kept = chunks.saturating_mul(OF_CHUNK + OF_AXIS * stored.len() as u64);
            let left = self.chunks_left.get().checked_sub(kept);
            self.chunks_left.set(left.ok_or(Problem::OverFile { shape: shape.clone(), bytes: self.file })?);
            self.check_chunks(dataset, chunks, (&stored, &cut, of_chunk))?;
        }
        Ok(Extent { shape, bytes })
    }

    /// Chunks as an index lists them: there are no more than the array has, each is one of its chunks, and all of them are in the file.
    fn check_chunks(
        &self,
        dataset: &Dataset,
        chunks: u64,
        (stored, cut, bytes): (&[u64], &[u64], u64),
    ) -> Result<(), Problem> {
        let listed = dataset.chunks().map_err(hdf5_problem)?;
        // None of them twice: it would be there in another one's place.
        let mut seen = vec![false; usize::try_from(chunks).unwrap_or_default()];
        let all = listed.iter().fold(0_u64, |all, chunk| all.saturating_add(chunk.storage_size));
        // Filters that the library can't read are none to it.
        let is_whole = dataset.filters().is_empty();
        let mut is_right = |chunk: &hdf5_pure::Chunk| {
            let is_within = chunk.address.checked_add(chunk.storage_size).is_some_and(|end| end <= self.file);
            let place = chunk.offset.iter().zip(stored.iter().zip(cut)).try_fold(0, |place, (&at, (&size, &chunk))| {
                (at < size && at.is_multiple_of(chunk)).then(|| place * size.div_ceil(chunk) + at / chunk)
            });
            let seen = place.and_then(|place| seen.get_mut(usize::try_from(place).ok()?));
            is_within
                && (chunk.storage_size == bytes || !is_whole)
                && seen.is_some_and(|seen| !std::mem::replace(seen, true))
        };
        match all <= self.file && listed.iter().all(&mut is_right) {
            true => Ok(()),
            false => Err(Problem::Hdf5("chunks that aren't those of its array".into())),
        }
    }
}

/// Whether an array is compressed, in a way that is read here.
fn is_compressed(dataset: &Dataset) -> Result<bool, Problem> {
    let (index, mut filters) = (dataset.chunk_index().map_err(hdf5_problem)?, dataset.filters());
    let unread = match index {
        Some(ChunkIndex::BTreeV2) => "a version 2 B-tree as chunk index",
        Some(ChunkIndex::Implicit) if !filters.is_empty() => "compressed chunks without an index",
        _ if filters.len() > MOST_FILTERS => "an array of more than eight filters",
        _ => {
            filters.retain(|filter| !NO_COMPRESSION.contains(filter));
            if filters.iter().filter(|filter| !OF_NUMBERS.contains(filter)).count() <= 1 {
                return Ok(!filters.is_empty());
            }
            "an array that is compressed twice"
        }
    };
    Err(Problem::Hdf5(unread.into()))
}

/// The most bytes of an array that are read at a time: whole numbers of any size.
pub(crate) const BLOCK: u64 = 8 << 20;

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

/// A 16-bit float of 5 and of 8 bits of exponent.
pub(crate) const BINARY16: FloatingPointLayout = FloatingPointLayout {
    bit_offset: 0,
    bit_precision: 16,
    exponent_location: 10,
    exponent_size: 5,
    mantissa_location: 0,
    mantissa_size: 10,
    exponent_bias: 15,
};
pub(crate) const BFLOAT16: FloatingPointLayout =
    FloatingPointLayout { exponent_location: 7, exponent_size: 8, mantissa_size: 7, exponent_bias: 127, ..BINARY16 };

/// Which float that type is, and whether its first byte is the highest; none of any other type, and of floats of other layouts, whose bits the
/// HDF5 reader takes for those of the usual ones.
fn float_of(datatype: &Datatype) -> Option<(Float, bool)> {
    let Datatype::FloatingPoint { size, byte_order, layout } = datatype else { return None };
    let float = match (size, layout) {
        (2, &BINARY16) => Float::Binary16,
        (2, &BFLOAT16) => Float::Bfloat16,
        (4, &FloatingPointLayout::IEEE754_BINARY32) => Float::Binary32,
        (8, &FloatingPointLayout::IEEE754_BINARY64) => Float::Binary64,
        _ => return None,
    };
    is_big_endian(*byte_order).map(|is_big_endian| (float, is_big_endian))
}

/// Whether a number's first byte is the highest; none where its bytes have an order of their own.
fn is_big_endian(order: DatatypeByteOrder) -> Option<bool> {
    match order {
        DatatypeByteOrder::LittleEndian => Some(false),
        DatatypeByteOrder::BigEndian => Some(true),
        DatatypeByteOrder::Vax => None,
    }
}

/// The tensors of a model inside the model: their names begin with those of the layers around.
pub(crate) struct Tensors<'a> {
    pub tensors: &'a SafeTensors<'a>,
    pub room: &'a Room,
    /// The names of the layers around, each followed by a slash.
    pub path: String,
}

impl Tensors<'_> {
    fn array(&self, name: &str, what: &str) -> Result<Option<Array<'_>>, Problem> {
        let Ok(view) = self.tensors.tensor(&format!("{}{name}/{what}", self.path)) else { return Ok(None) };
        elements(view.shape())?;
        Ok(Some(Array::safetensors(view, self.room)))
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
        Box::new(Tensors { path: format!("{}{name}/", self.path), ..*self })
    }

    // The layer inside a wrapper doesn't run, and isn't written in this format.
    fn wrapped(&self, _: &str, _: &str) -> Box<dyn Source + '_> {
        Box::new(Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The library takes any four bytes for the usual float.
    #[test]
    fn floats_have_the_usual_layout() {
        let usual = [
            (4, FloatingPointLayout::IEEE754_BINARY32),
            (8, FloatingPointLayout::IEEE754_BINARY64),
            (2, BINARY16),
            (2, BFLOAT16),
        ];
        for (size, layout) in usual {
            let read = |layout: &FloatingPointLayout, byte_order| {
                float_of(&Datatype::FloatingPoint { size, byte_order, layout: *layout }).is_some()
            };
            for (byte_order, is_read) in [
                (DatatypeByteOrder::LittleEndian, true),
                (DatatypeByteOrder::BigEndian, true),
                (DatatypeByteOrder::Vax, false),
            ] {
                assert_eq!(read(&layout, byte_order), is_read);
            }
            for other in [
                FloatingPointLayout { exponent_bias: layout.exponent_bias - 5, ..layout },
                FloatingPointLayout { bit_precision: layout.bit_precision - 1, ..layout },
                FloatingPointLayout { mantissa_location: 1, ..layout },
            ] {
                assert!(!read(&other, DatatypeByteOrder::LittleEndian));
            }
        }
        assert!(float_of(&Datatype::Opaque { size: 4, tag: Vec::new() }).is_none());
    }

    /// A file's own bytes may be read, and some of them again, but no more than eight files of them.
    #[test]
    fn arrays_that_share_their_bytes_are_read_some_times() {
        let room = Room::of(100, 100);
        assert_eq!((0..8).map(|_| room.take(100)).collect::<Vec<_>>(), vec![Ok(()); 8]);
        assert_eq!(room.take(1), Err(Problem::ReadAgain { times: 8, bytes: 100 }));
        assert_eq!((Room::of(0, 0).take(0), Room::of(u64::MAX, 1).take(u64::MAX)), (Ok(()), Ok(())));
    }

    /// A name of many parts can be split at each of its slashes into a model's name and that of a layer in it.
    #[test]
    fn tensors_of_several_names_are_read_some_times() -> Result<(), Box<dyn std::error::Error>> {
        let header = r#"{"a/b/c/kernel":{"dtype":"F32","shape":[100],"data_offsets":[0,400]}}"#;
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 400]].concat();
        let (tensors, room) = (SafeTensors::deserialize(&bytes)?, Room::of(400, 400));
        let file = Tensors { tensors: &tensors, room: &room, path: String::new() };
        let mut read = Vec::new();
        for _ in 0..3 {
            read.extend(file.arrays("a/b/c")?.pop().map(Array::read));
            for (model, layer) in [("a", "b/c"), ("a/b", "c")] {
                read.extend(file.model(model, &[]).arrays(layer)?.pop().map(Array::read));
            }
        }
        let (last, before) = read.split_last().ok_or("nothing was read")?;
        assert!(before.len() == 8 && before.iter().all(|values| values.as_deref() == Ok(&[0.0; 100])));
        assert_eq!(last, &Err(Problem::ReadAgain { times: 8, bytes: 400 }));
        Ok(())
    }
}
