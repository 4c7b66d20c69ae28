//! Numbers as files hold them.

use half::{bf16, f16};

/// A float in a file.
#[derive(Clone, Copy)]
pub(crate) enum Float {
    Binary16,
    Bfloat16,
    Binary32,
    Binary64,
}

impl Float {
    /// The bytes of one.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Binary16 | Self::Bfloat16 => 2,
            Self::Binary32 => 4,
            Self::Binary64 => 8,
        }
    }

    /// Those in `bytes`.
    pub(crate) fn values(self, bytes: &[u8], is_big_endian: bool) -> Vec<f32> {
        match self {
            Self::Binary16 => convert(bytes, is_big_endian, |b| f16::from_le_bytes(b).to_f32()),
            Self::Bfloat16 => convert(bytes, is_big_endian, |b| bf16::from_le_bytes(b).to_f32()),
            Self::Binary32 => convert(bytes, is_big_endian, f32::from_le_bytes),
            Self::Binary64 => convert(bytes, is_big_endian, |b| f64::from_le_bytes(b) as f32),
        }
    }
}

/// Converts `bytes`, `N` at a time.
pub(crate) fn convert<const N: usize>(
    bytes: &[u8],
    is_big_endian: bool,
    from_little: impl Fn([u8; N]) -> f32,
) -> Vec<f32> {
    let (values, _) = bytes.as_chunks::<N>();
    let convert = |&(mut value): &[u8; N]| {
        if is_big_endian {
            value.reverse();
        }
        from_little(value)
    };
    values.iter().map(convert).collect()
}
