//! NumPy's `.npy` and `.npz`, read as f32 and written as f32.
//!
//! The format is a short header and the bytes, so it is read directly here: that checks every number before it is used,
//! and converts whole slices.

use crate::archive::{Archive, zip_bytes};
use crate::error::{Problem, Result};
use crate::files::{read_file, write_file};
use crate::numbers::{Float, convert};
use locally_connected::Error;
use std::path::Path;

const MAGIC: &[u8] = b"\x93NUMPY";
/// NumPy's own headers have 128 bytes for up to 10 axes; NumPy itself refuses over 10,000 characters.
const MOST_HEADER: usize = 10_000;
/// NumPy's own limit. In Fortran's order each axis may take time for each value.
const MOST_AXES: usize = 64;

/// An array: its shape and its values in C order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NpyArray {
    /// Sizes of the axes, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// The values, last axis fastest.
    pub values: Vec<f32>,
}

/// Reads an `.npy` file as f32: floats of 16, 32 or 64 bits, integers of up to 64 bits or booleans, in C or Fortran
/// order, of either endianness. An `.npz` file with one such array is read as that array.
///
/// # Errors
/// [`crate::Error::Io`] and [`crate::Error::File`].
pub fn read_npy(path: impl AsRef<Path>) -> Result<NpyArray> {
    let path = path.as_ref();
    npy_from_bytes(&path.display().to_string(), &read_file(path)?)
}

/// As [`read_npy`], from memory; `name` stands for the file in errors.
///
/// # Errors
/// [`crate::Error::File`].
pub fn npy_from_bytes(name: &str, bytes: &[u8]) -> Result<NpyArray> {
    let array = if bytes.starts_with(b"PK") { only_array(bytes) } else { parse(bytes) };
    array.map_err(|problem| problem.of_file(name))
}

/// The array of an archive that has only one.
fn only_array(bytes: &[u8]) -> Result<NpyArray, Problem> {
    let archive = Archive::open(&bytes, bytes.len() as u64)?;
    match array_names(&archive).as_slice() {
        [(array, file)] => parse(&archive.entry(file)?).map_err(|problem| problem.within(array)),
        several => Err(Problem::Arrays(several.iter().map(|(array, _)| array.clone()).collect())),
    }
}

/// The names of an archive's arrays, and of the files that hold them.
fn array_names(archive: &Archive<'_>) -> Vec<(String, String)> {
    archive.names().filter_map(|file| Some((file.strip_suffix(".npy")?.to_owned(), file.to_owned()))).collect()
}

/// Writes f32 values with that shape as an `.npy` file, all of it or nothing.
///
/// # Errors
/// [`locally_connected::Error::Length`] if the shape has another number of elements, and [`crate::Error::Io`].
pub fn write_npy(path: impl AsRef<Path>, shape: &[usize], values: &[f32]) -> Result<()> {
    write_file(path, &npy_bytes(shape, values)?)
}

/// The bytes of an `.npy` file.
///
/// # Errors
/// [`locally_connected::Error::Length`] if the shape has another number of elements.
pub fn npy_bytes(shape: &[usize], values: &[f32]) -> Result<Vec<u8>> {
    let expected = shape.iter().try_fold(1u64, |a, &b| a.checked_mul(b as u64)).unwrap_or(u64::MAX);
    if expected != values.len() as u64 {
        let (found, shape) = (values.len() as u64, shape.to_vec());
        return Err(Error::Length { what: "the array", expected, found, shape }.into());
    }
    let sizes: Vec<_> = shape.iter().map(usize::to_string).collect();
    // In Python a tuple of one has a comma.
    let tuple = if let [one] = sizes.as_slice() { format!("{one},") } else { sizes.join(", ") };
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({tuple}), }}");
    // Magic, version and length take 10 bytes; NumPy aligns the values to 64.
    let padding = 63 - (10 + header.len()) % 64;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let mut bytes = Vec::with_capacity(10 + header.len() + 4 * values.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[1, 0]);
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    if cfg!(target_endian = "little") {
        bytes.extend_from_slice(bytemuck::cast_slice(values));
    } else {
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    Ok(bytes)
}

/// Reads all arrays of an `.npz` file, in the order of the file.
///
/// # Errors
/// [`crate::Error::Io`] and [`crate::Error::File`].
pub fn read_npz(path: impl AsRef<Path>) -> Result<Vec<(String, NpyArray)>> {
    let path = path.as_ref();
    npz_from_bytes(&path.display().to_string(), &read_file(path)?)
}

/// As [`read_npz`], from memory; `name` stands for the file in errors.
///
/// # Errors
/// [`crate::Error::File`].
pub fn npz_from_bytes(name: &str, bytes: &[u8]) -> Result<Vec<(String, NpyArray)>> {
    let read = || {
        let archive = Archive::open(&bytes, bytes.len() as u64)?;
        let mut arrays = Vec::new();
        for (array, file) in array_names(&archive) {
            let parsed = parse(&archive.entry(&file)?).map_err(|problem| problem.within(&file))?;
            arrays.push((array, parsed));
        }
        Ok(arrays)
    };
    read().map_err(|problem: Problem| problem.of_file(name))
}

/// Writes named f32 arrays as an `.npz` file, all of it or nothing. Names may contain slashes.
///
/// # Errors
/// [`locally_connected::Error::Length`], [`crate::Error::File`] for a name that is given twice, and
/// [`crate::Error::Io`].
pub fn write_npz(path: impl AsRef<Path>, arrays: &[(String, Vec<usize>, &[f32])]) -> Result<()> {
    write_file(path, &npz_bytes(arrays)?)
}

/// The bytes of an `.npz` file with these arrays: name, shape, values.
///
/// # Errors
/// [`locally_connected::Error::Length`], and [`crate::Error::File`] for a name that is given twice.
pub fn npz_bytes(arrays: &[(String, Vec<usize>, &[f32])]) -> Result<Vec<u8>> {
    let mut files = Vec::with_capacity(arrays.len());
    for (name, shape, values) in arrays {
        files.push((format!("{name}.npy"), npy_bytes(shape, values)?));
    }
    zip_bytes(files.iter().map(|(name, contents)| (name.as_str(), contents.as_slice())))
        .map_err(|problem| problem.of_file(".npz"))
}

fn parse(bytes: &[u8]) -> Result<NpyArray, Problem> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(Problem::NotNpy)?;
    let (&[major, _], rest) = rest.split_first_chunk().ok_or(Problem::HeaderCutOff)?;
    let (length, rest) = match major {
        1 => rest.split_first_chunk().map(|(n, rest)| (usize::from(u16::from_le_bytes(*n)), rest)),
        2 | 3 => rest.split_first_chunk().map(|(n, rest)| (u32::from_le_bytes(*n) as usize, rest)),
        _ => return Err(Problem::Version { of: "the .npy format", found: major.into() }),
    }
    .ok_or(Problem::HeaderCutOff)?;
    if length > MOST_HEADER {
        return Err(Problem::HeaderLength { found: length, limit: MOST_HEADER });
    }
    let (header, data) = rest.split_at_checked(length).ok_or(Problem::HeaderCutOff)?;
    let header = std::str::from_utf8(header).map_err(|_| Problem::malformed("its header", "text"))?;
    let Header { descr, fortran, shape } = Header::parse(header).ok_or_else(|| {
        let header: String = header.trim().chars().filter(|c| !c.is_control()).take(200).collect();
        Problem::Header(header)
    })?;

    if shape.len() > MOST_AXES {
        return Err(Problem::Axes { found: shape.len(), limit: MOST_AXES });
    }
    let kind = descr.trim_start_matches(['<', '>', '=', '|']);
    let big = descr.starts_with('>');
    let size = kind.get(1..).and_then(|size| size.parse::<usize>().ok()).unwrap_or(0);
    let known = matches!(kind, "f2" | "f4" | "f8" | "i1" | "i2" | "i4" | "i8" | "u1" | "u2" | "u4" | "u8" | "b1");
    if !known {
        let (found, expected) = (format!("'{descr}'"), "floats of 16 to 64 bits, integers or booleans");
        return Err(Problem::ElementType { found, expected });
    }
    let elements = shape.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
    let expected = elements
        .and_then(|n| n.checked_mul(size))
        .ok_or_else(|| Problem::TooLarge(shape.iter().map(|&n| n as u64).collect()))?;
    if data.len() != expected {
        return Err(Problem::Bytes { shape, descr: descr.to_owned(), expected, found: data.len() });
    }
    let values = match kind {
        "f2" => Float::Binary16.values(data, big),
        "f4" => Float::Binary32.values(data, big),
        "f8" => Float::Binary64.values(data, big),
        "i1" => convert(data, big, |b| i8::from_le_bytes(b).into()),
        "i2" => convert(data, big, |b| i16::from_le_bytes(b).into()),
        "i4" => convert(data, big, |b| i32::from_le_bytes(b) as f32),
        "i8" => convert(data, big, |b| i64::from_le_bytes(b) as f32),
        "u1" => convert(data, big, |b| u8::from_le_bytes(b).into()),
        "u2" => convert(data, big, |b| u16::from_le_bytes(b).into()),
        "u4" => convert(data, big, |b| u32::from_le_bytes(b) as f32),
        "u8" => convert(data, big, |b| u64::from_le_bytes(b) as f32),
        _ => convert(data, big, |[b]| f32::from(u8::from(b != 0))),
    };
    let values = if fortran && shape.len() > 1 { from_fortran(&shape, &values) } else { values };
    Ok(NpyArray { shape, values })
}

/// Brings values whose first axis is the fastest into C order.
fn from_fortran(shape: &[usize], values: &[f32]) -> Vec<f32> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1;
    for &size in shape {
        strides.push(stride);
        stride *= size;
    }
    let mut index = vec![0usize; shape.len()];
    let mut at = 0;
    let mut ordered = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        ordered.extend(values.get(at));
        // Counts `index` up, last axis first, and moves `at` along.
        for ((i, &size), &stride) in index.iter_mut().zip(shape).zip(&strides).rev() {
            *i += 1;
            at += stride;
            if *i < size {
                break;
            }
            at -= stride * size;
            *i = 0;
        }
    }
    ordered
}

struct Header<'a> {
    descr: &'a str,
    fortran: bool,
    shape: Vec<usize>,
}

impl<'a> Header<'a> {
    /// Reads Python's literal `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`, keys in any order.
    fn parse(text: &'a str) -> Option<Self> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim_start();
        while !rest.is_empty() {
            let (key, after) = quoted(rest)?;
            rest = after.trim_start().strip_prefix(':')?.trim_start();
            match key {
                "descr" => {
                    let (value, after) = quoted(rest)?;
                    (descr, rest) = (Some(value), after);
                }
                "fortran_order" => {
                    let value = rest.starts_with("True");
                    (fortran, rest) = (Some(value), rest.strip_prefix(if value { "True" } else { "False" })?);
                }
                "shape" => {
                    let (value, after) = rest.strip_prefix('(')?.split_once(')')?;
                    let sizes = value.split(',').map(str::trim).filter(|size| !size.is_empty());
                    // Python 2 wrote long integers as 3L.
                    let sizes = sizes.map(|size| size.strip_suffix('L').unwrap_or(size).parse().ok());
                    (shape, rest) = (Some(sizes.collect::<Option<Vec<usize>>>()?), after);
                }
                _ => return None,
            }
            rest = rest.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        Some(Self { descr: descr?, fortran: fortran?, shape: shape? })
    }
}

/// A quoted string at the beginning, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text.get(1..)?.split_once(quote)
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;

    /// A file as `numpy.save` writes it.
    fn file(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
        let mut bytes = b"\x93NUMPY\x01\x00v\x00".to_vec();
        bytes.extend(format!("{header:<117}\n").bytes());
        bytes.extend(data);
        bytes
    }

    fn read(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Result<NpyArray> {
        npy_from_bytes("x.npy", &file(descr, fortran, shape, data))
    }

    #[test]
    fn every_type_order_and_endianness_is_read() -> Result<()> {
        // The data of `numpy.asfortranarray(numpy.arange(6).reshape(2, 3).astype('>f4'))`, saved by NumPy 1.26.
        let data = b"\x00\x00\x00\x00@@\x00\x00?\x80\x00\x00@\x80\x00\x00@\x00\x00\x00@\xa0\x00\x00";
        let array = read(">f4", "True", "(2, 3)", data)?;
        assert_eq!((array.shape, array.values), (vec![2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
        assert_eq!(read("<f2", "False", "()", b"\x00\xbe")?, NpyArray { shape: vec![], values: vec![-1.5] });
        let values: [(&str, Vec<u8>); 12] = [
            ("f2", f16::from_f32(-3.0).to_le_bytes().into()),
            ("f4", (-3.0f32).to_le_bytes().into()),
            ("f8", (-3.0f64).to_le_bytes().into()),
            ("i1", (-3i8).to_le_bytes().into()),
            ("i2", (-3i16).to_le_bytes().into()),
            ("i4", (-3i32).to_le_bytes().into()),
            ("i8", (-3i64).to_le_bytes().into()),
            ("u1", 200u8.to_le_bytes().into()),
            ("u2", 60_000u16.to_le_bytes().into()),
            ("u4", 4_000_000_000u32.to_le_bytes().into()),
            ("u8", (1u64 << 63).to_le_bytes().into()),
            ("b1", vec![1]),
        ];
        let expected =
            [-3.0, -3.0, -3.0, -3.0, -3.0, -3.0, -3.0, 200.0, 60_000.0, 4e9, 9_223_372_036_854_775_808.0, 1.0];
        for ((kind, mut data), expected) in values.into_iter().zip(expected) {
            let array = read(&format!("<{kind}"), "False", "(1,)", &data)?;
            assert_eq!(array, NpyArray { shape: vec![1], values: vec![expected] }, "<{kind}");
            data.reverse();
            assert_eq!(read(&format!(">{kind}"), "True", "(1,)", &data)?.values, [expected], ">{kind}");
        }
        // Three axes, first fastest: element (i, j, k) is stored at i + 2j + 6k.
        let data: Vec<u8> = (0..24).collect();
        let array = read("|u1", "True", "(2, 3, 4)", &data)?;
        let at = |i: usize| (i / 12 + 2 * (i / 4 % 3) + 6 * (i % 4)) as f32;
        assert_eq!(array.values, (0..24).map(at).collect::<Vec<_>>());
        assert_eq!(read("<f4", "True", "(0, 3)", &[])?, NpyArray { shape: vec![0, 3], values: vec![] });
        Ok(())
    }

    #[test]
    fn what_is_written_is_read() -> Result<()> {
        for shape in [&[][..], &[3], &[2, 3], &[0, 4], &[1; 12]] {
            let values: Vec<f32> = (0..shape.iter().product()).map(|i| i as f32 - 0.5).collect();
            let bytes = npy_bytes(shape, &values)?;
            assert_eq!((bytes.len() - 4 * values.len()) % 64, 0);
            assert_eq!(npy_from_bytes("x", &bytes)?, NpyArray { shape: shape.to_vec(), values });
        }
        // The header of `numpy.save`, byte for byte.
        assert_eq!(npy_bytes(&[1, 2], &[0.0, 1.0])?[..128], file("<f4", "False", "(1, 2)", &[]));
        let arrays = [("a/b/kernel".to_owned(), vec![2], &[1.0, 2.0][..]), ("bias".to_owned(), vec![], &[3.0])];
        let bytes = npz_bytes(&arrays)?;
        let read: Vec<_> = npz_from_bytes("x", &bytes)?.into_iter().map(|(n, a)| (n, a.shape, a.values)).collect();
        assert_eq!(read, arrays.map(|(n, s, v)| (n, s, v.to_vec())));
        assert!(matches!(
            npy_bytes(&[2, 2], &[0.0]),
            Err(crate::Error::Core(Error::Length { expected: 4, found: 1, .. }))
        ));
        let twice = [("a".to_owned(), vec![], &[1.0][..]), ("a".to_owned(), vec![], &[1.0])];
        assert!(matches!(npz_bytes(&twice), Err(crate::Error::File { .. })));
        Ok(())
    }

    #[test]
    fn malformed_files_are_errors() {
        let error = |bytes: &[u8]| npy_from_bytes("x", bytes).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error(&file("<f4", "False", "(2, 3)", &[0; 23])).contains("needs 24 bytes, but the file has 23"));
        let huge = "(18446744073709551615, 18446744073709551615)";
        assert!(error(&file("<f4", "False", huge, &[])).contains("is too large"));
        assert!(error(&file("<f4", "False", "(4000000000,)", &[])).contains("but the file has 0"));
        assert!(error(&file("<c8", "False", "(1,)", &[0; 8])).contains("values of type '<c8'"));
        for descr in ["<f16", "|O", "<U1", "f", "", "<é4"] {
            assert!(!error(&file(descr, "False", "(1,)", &[0; 4])).is_empty(), "{descr}");
        }
        for shape in ["(-1,)", "(1.5,)", "(1", "1,)", "((1,),)", "(99999999999999999999999,)", "None"] {
            assert!(error(&file("<f4", "False", shape, &[0; 4])).contains("isn't understood"), "{shape}");
        }
        let axes = |count: usize| {
            let header = format!("{{'descr': '|u1', 'fortran_order': True, 'shape': (7, {})}}", "1,".repeat(count - 1));
            let length = (header.len() as u16).to_le_bytes();
            [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &[0; 7]].concat()
        };
        assert_eq!(error(&axes(64)), "");
        assert!(error(&axes(65)).contains("has 65 axes, over 64"));
        assert!(error(b"\x93NUMPY\x01\x00v\x00{'descr': ").contains("cut off"));
        assert!(error(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").contains("claims 4294967295 bytes"));
        assert!(error(b"\x93NUMPY\x09\x00").contains("version 9"));
        assert!(error(b"\x89HDF").contains("not an .npy file"));
        assert!(error(b"PK\x03\x04").contains("not a readable zip archive"));
        assert!(npz_from_bytes("x", b"PK\x03\x04").is_err());
    }
}
