//! Numbers of every type and order of bytes, wherever in an HDF5 file they lie.

use crate::contents::Contents;
use crate::hdf5::Reader;
use crate::weights::{Array, BFLOAT16, BINARY16, BLOCK, Room};
use half::{bf16, f16};
use hdf5_pure::{Datatype, DatatypeByteOrder, FileBuilder, FixedPointLayout, FloatingPointLayout};

type Tried = Result<(), Box<dyn std::error::Error>>;

const ORDERS: [DatatypeByteOrder; 2] = [DatatypeByteOrder::LittleEndian, DatatypeByteOrder::BigEndian];

/// How a dataset lies in a file.
#[derive(Clone, Copy, Default)]
struct Lies {
    /// What stands before the file's own bytes.
    before: u64,
    is_cut: bool,
    is_packed: bool,
}

/// A reader of a file with the dataset "g/n".
fn reader(
    datatype: Datatype,
    bytes: Vec<u8>,
    numbers: usize,
    lies: Lies,
) -> Result<Reader, Box<dyn std::error::Error>> {
    let mut file = FileBuilder::new();
    file.with_userblock(lies.before);
    let mut group = file.create_group("g");
    let dataset = group.create_dataset("n").with_raw_data(datatype, bytes, numbers as u64);
    if lies.is_cut {
        dataset.with_chunks(&[7]);
    }
    if lies.is_packed {
        dataset.with_deflate(1);
    }
    file.add_group(group.finish());
    Ok(Reader::new(Contents::held(file.finish()?))?)
}

fn ordered<const N: usize>(mut bytes: [u8; N], byte_order: DatatypeByteOrder) -> [u8; N] {
    if byte_order == DatatypeByteOrder::BigEndian {
        bytes.reverse();
    }
    bytes
}

#[test]
fn floats_of_all_sizes_are_read() -> Tried {
    let numbers = [f32::from_le_bytes(*b"SMTB"), f32::from_le_bytes(*b"FAHD"), 0.0, -1.5, 65504.0, f32::INFINITY];
    let numbers: Vec<f32> = numbers.into_iter().chain((0..100).map(|i| i as f32 / 3.0)).collect();
    for byte_order in ORDERS {
        for (size, layout) in [
            (2, BINARY16),
            (2, BFLOAT16),
            (4, FloatingPointLayout::IEEE754_BINARY32),
            (8, FloatingPointLayout::IEEE754_BINARY64),
        ] {
            let (mut bytes, mut expected) = (Vec::new(), Vec::new());
            for &number in &numbers {
                match size {
                    4 => bytes.extend(ordered(number.to_le_bytes(), byte_order)),
                    8 => bytes.extend(ordered(f64::from(number).to_le_bytes(), byte_order)),
                    _ if layout == BINARY16 => bytes.extend(ordered(f16::from_f32(number).to_le_bytes(), byte_order)),
                    _ => bytes.extend(ordered(bf16::from_f32(number).to_le_bytes(), byte_order)),
                }
                expected.push(match size {
                    2 if layout == BINARY16 => f16::from_f32(number).to_f32(),
                    2 => bf16::from_f32(number).to_f32(),
                    _ => number,
                });
            }
            for (before, is_cut, is_packed) in
                [(0, false, false), (512, false, false), (0, true, false), (512, true, false), (0, true, true)]
            {
                let datatype = Datatype::FloatingPoint { size, byte_order, layout };
                let reader = reader(datatype, bytes.clone(), numbers.len(), Lies { before, is_cut, is_packed })?;
                let room = Room::of(1 << 16, 1 << 16);
                let read = Array::hdf5(reader.array("g", "n")?, &room)?.read()?;
                assert_eq!(read, expected, "{size} {byte_order:?} {before} {is_cut} {is_packed}");
            }
        }
    }
    Ok(())
}

/// What lies in one piece is read some at a time.
#[test]
fn many_numbers_are_read() -> Tried {
    let numbers: Vec<f32> = (0..BLOCK as usize / 2 + 3).map(|i| i as f32).collect();
    let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let (byte_order, layout) = (DatatypeByteOrder::LittleEndian, FloatingPointLayout::IEEE754_BINARY32);
    let reader =
        reader(Datatype::FloatingPoint { size: 4, byte_order, layout }, bytes, numbers.len(), Lies::default())?;
    let room = Room::of(4 * BLOCK, 4 * BLOCK);
    assert!(Array::hdf5(reader.array("g", "n")?, &room)?.read()? == numbers);
    Ok(())
}

#[test]
fn whole_numbers_of_all_sizes_are_read() -> Tried {
    for byte_order in ORDERS {
        for signed in [false, true] {
            for (size, number, is_read) in [
                (1_u16, 100, true),
                (2, 20_001, true),
                (4, 70_000, true),
                (8, 5_000_000_000, true),
                (1, 200, !signed),
                (8, u64::MAX, !signed),
            ] {
                let layout = FixedPointLayout { signed, bit_offset: 0, bit_precision: 8 * size };
                let mut bytes = number.to_le_bytes()[..size.into()].to_vec();
                if byte_order == DatatypeByteOrder::BigEndian {
                    bytes.reverse();
                }
                let datatype = Datatype::FixedPoint { size: size.into(), byte_order, layout };
                let reader = reader(datatype, bytes, 1, Lies::default())?;
                let read = reader.array("g", "n")?.integer()?;
                assert_eq!(read, is_read.then_some(number), "{size} {byte_order:?} {signed}");
            }
        }
    }
    let (byte_order, layout) = (DatatypeByteOrder::LittleEndian, FloatingPointLayout::IEEE754_BINARY32);
    let float = reader(Datatype::FloatingPoint { size: 4, byte_order, layout }, vec![0; 4], 1, Lies::default())?;
    assert_eq!(float.array("g", "n")?.integer()?, None);
    Ok(())
}
