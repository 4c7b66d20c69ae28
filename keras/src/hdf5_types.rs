//! Types in an HDF5 file's messages, of which `hdf5-pure` bounds neither how deep they are nor how many members they claim.

use hdf5_pure::FormatError;

/// Most types in one another. Those of Keras's strings are two.
const DEEP: usize = 32;

const REFUSED: &str = "one of its types has more than 32 types in one another, or more members than bytes";

const _: () = assert!(DEEP == 32, "REFUSED says another number");

/// Strings of an attribute are sorted by their places, one by one: how many are moved up in the time that a byte costs.
const MOVED: u64 = 256;

/// What a member of a type costs beside its bytes, of which it may have as few as three.
const MEMBER: u64 = 16;

/// Why a type has no length.
enum Why {
    /// It isn't one, or it is cut off: the library says so.
    Not,
    Refused,
}

/// Looks at a type that the library is going to follow. Returns what its members cost beside their bytes, in bytes.
pub(crate) fn check(own: &[u8]) -> Result<u64, FormatError> {
    if let Err(Why::Refused) = length(own, 0) {
        return Err(FormatError::Source(REFUSED.into()));
    }
    Ok(match *own {
        [first, low, high, ..] if matches!(first & 15, 6 | 8 | 11) => {
            MEMBER * u64::from(u16::from_le_bytes([low, high]))
        }
        _ => 0,
    })
}

/// Looks at the type of an attribute, if that is one. Returns what it costs beside its bytes, in bytes.
pub(crate) fn check_attribute(body: &[u8]) -> Result<u64, FormatError> {
    let Some(own) = type_of_attribute(body) else { return Ok(0) };
    let members = check(own)?;
    // Strings of any length, or what a type says that lies elsewhere.
    let is_shared = matches!(body, [2 | 3, 1 | 3, ..]);
    let may_be_strings = is_shared || own.first().is_some_and(|first| first & 15 == 9);
    let strings = if may_be_strings { body.len() as u64 / 16 } else { 0 };
    Ok((strings.saturating_mul(strings) / MOVED).saturating_add(members))
}

fn type_of_attribute(body: &[u8]) -> Option<&[u8]> {
    let &[version, _, n0, n1, t0, t1, _, _, ..] = body else { return None };
    let (from, padded) = match version {
        1 => (8, 8),
        2 => (8, 1),
        3 => (9, 1),
        _ => return None,
    };
    let name = usize::from(u16::from_le_bytes([n0, n1])).next_multiple_of(padded);
    let from = from + name;
    body.get(from..from + usize::from(u16::from_le_bytes([t0, t1])))
}

/// How many bytes a type takes that is in so many others.
fn length(bytes: &[u8], within: usize) -> Result<usize, Why> {
    let &[first, low, high, _, s0, s1, s2, s3, ..] = bytes else { return Err(Why::Not) };
    if within == DEEP {
        return Err(Why::Refused);
    }
    let (class, version) = (first & 15, first >> 4);
    let members = usize::from(u16::from_le_bytes([low, high]));
    let size = u32::from_le_bytes([s0, s1, s2, s3]);
    let next = usize::from(bytes.get(8).copied().unwrap_or_default());
    // Room is made for all members at once. Enumerations are of integers.
    let is_refused = match (class, version) {
        (6, 1..=5) | (11, _) => members > bytes.len() / 8,
        (8, _) => members > bytes.len() || next & 15 != 0,
        _ => false,
    };
    if is_refused {
        return Err(Why::Refused);
    }
    // Where members begin, how their names are padded, and what stands between a name and a type: a place, in version 1 with axes.
    let (mut at, padded, place) = match (class, version) {
        (0 | 4, _) => return Ok(12),
        (1, _) => return Ok(20),
        (2, _) => return Ok(10),
        (3 | 7, _) => return Ok(8),
        (5, _) => return Ok(8 + usize::from(low).next_multiple_of(8)),
        (6, 1) => (8, 8, 32),
        (6, 2) => (8, 8, 4),
        (6, 3..=5) | (11, _) => (8, 1, offset_bytes(size)),
        (8, 0..3) => (20, 8, 0),
        (8, _) => (20, 1, 0),
        (9, _) => (8, 0, 0),
        (10, 2) => (12 + 8 * next, 0, 0),
        (10, 3..=5) => (9 + 4 * next, 0, 0),
        _ => return Err(Why::Not),
    };
    // Lists and arrays are of one type without a name.
    let members = if padded == 0 { 1 } else { members };
    for _ in 0..members {
        let mut rest = bytes.get(at..).ok_or(Why::Not)?;
        if padded > 0 {
            let name = rest.iter().position(|&byte| byte == 0).ok_or(Why::Not)?;
            let place = (name + 1).next_multiple_of(padded) + place;
            at += place;
            rest = rest.get(place..).ok_or(Why::Not)?;
        }
        if class != 8 {
            at += length(rest, within + 1)?;
        }
    }
    let value = match bytes.get(12..16) {
        Some(&[v0, v1, v2, v3]) if class == 8 => u32::from_le_bytes([v0, v1, v2, v3]),
        _ => 0,
    };
    Ok(at.saturating_add(members.saturating_mul(value as usize)))
}

/// The bytes of a place in a compound of that size, as the library has it.
fn offset_bytes(size: u32) -> usize {
    match size {
        0..=0xFF => 1,
        0x100..=0xFFFF => 2,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const INTEGER: [u8; 12] = [0x10, 8, 0, 0, 8, 0, 0, 0, 0, 0, 64, 0];
    const FLOAT: [u8; 20] = [0x11, 0x20, 31, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0];
    const LIST: [u8; 8] = [0x19, 0, 0, 0, 16, 0, 0, 0];

    /// A class in a version, of so many members, and what follows.
    fn of(class: u8, version: u8, members: u8, rest: &[&[u8]]) -> Vec<u8> {
        [&[version << 4 | class, members, 0, 0, 8, 0, 0, 0][..], &rest.concat()].concat()
    }

    fn known(bytes: &[u8]) -> Result<usize, &'static str> {
        length(bytes, 0).map_err(|why| match why {
            Why::Not => "none",
            Why::Refused => "refused",
        })
    }

    #[test]
    fn types_have_the_lengths_that_the_format_says() {
        let member = [&b"name\0\0\0\0"[..], &[0; 4]].concat();
        let with_axes = [&member[..], &[0; 28]].concat();
        for (own, name) in [
            (INTEGER.to_vec(), "integer"),
            (FLOAT.to_vec(), "float"),
            (of(2, 1, 0, &[&[0; 2]]), "time"),
            (of(3, 1, 1, &[]), "string"),
            (of(5, 1, 3, &[b"tag\0\0\0\0\0"]), "opaque"),
            (of(6, 1, 2, &[&with_axes, &INTEGER, &with_axes, &FLOAT]), "compound, version 1"),
            (of(6, 2, 2, &[&member, &LIST, &INTEGER, &member, &FLOAT]), "compound, version 2"),
            (of(6, 3, 2, &[b"a\0\0", &INTEGER, b"b\0\x04", &FLOAT]), "compound, version 3"),
            (of(11, 5, 2, &[b"r\0\0", &FLOAT, b"i\0\x04", &FLOAT]), "complex"),
            (of(7, 1, 0, &[]), "reference"),
            (of(8, 1, 2, &[&INTEGER, b"FALSE\0\0\0TRUE\0\0\0\0", &[0; 16]]), "enumeration, version 1"),
            (of(8, 3, 2, &[&INTEGER, b"FALSE\0TRUE\0", &[0; 16]]), "enumeration, version 3"),
            (of(9, 1, 1, &[&of(3, 1, 0, &[])]), "string of any length"),
            (of(10, 2, 0, &[&[2, 0, 0, 0], &[0; 16], &FLOAT]), "array, version 2"),
            (of(10, 3, 0, &[&[2], &[0; 8], &FLOAT]), "array, version 3"),
        ] {
            let following = [&own[..], &[0xFF; 40]].concat();
            assert_eq!(known(&following), Ok(own.len()), "{name}");
        }
    }

    #[test]
    fn deep_types_are_refused() {
        let deep = |lists| [&LIST.repeat(lists)[..], &INTEGER].concat();
        assert_eq!(known(&deep(DEEP - 1)), Ok(8 * (DEEP - 1) + 12));
        assert_eq!(known(&deep(DEEP)), Err("refused"));
        // Wherever it is, in a type that is cut off as well.
        let cut = [&of(6, 3, 2, &[b"a\0\0", &FLOAT, b"b\0\x04"])[..], &LIST.repeat(DEEP)].concat();
        assert_eq!(known(&cut), Err("refused"));
        assert_eq!(known(&deep(DEEP - 1)[..8 * (DEEP - 1)]), Err("none"));
        assert_eq!(known(&of(8, 1, 1, &[&of(8, 1, 1, &[&INTEGER])])), Err("refused"));
    }

    #[test]
    fn members_have_bytes() {
        let compound = |members| of(6, 3, members, &[b"a\0\0", &INTEGER]);
        assert_eq!(known(&compound(1)), Ok(23));
        assert_eq!(known(&compound(2)), Err("none"));
        assert_eq!(known(&compound(3)), Err("refused"));
        assert_eq!(known(&of(8, 3, 200, &[&INTEGER])), Err("refused"));
        // In versions that there aren't, nothing is read.
        assert_eq!(
            [known(&of(6, 0, 200, &[])), known(&of(6, 7, 200, &[])), known(&of(10, 1, 0, &[&[1]]))],
            [Err("none"); 3]
        );
    }

    #[test]
    fn attributes_say_where_their_types_are() {
        let size = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_le_bytes();
        let attribute = |[version, flags]: [u8; 2], name: &[u8], own: &[u8]| {
            let encoding = &[0_u8][..usize::from(version == 3)];
            [&[version, flags][..], &size(name), &size(own), &[0; 2], encoding, name, own].concat()
        };
        let deep = [&LIST.repeat(DEEP)[..], &INTEGER].concat();
        for (start, name) in [([1, 0], &b"name\0\0\0\0"[..]), ([2, 0], b"name\0"), ([3, 0], b"name\0")] {
            assert!(check_attribute(&attribute(start, name, &deep)).is_err(), "{start:?}");
            assert_eq!(check_attribute(&attribute(start, name, &INTEGER)), Ok(0), "{start:?}");
        }
        let flag = of(8, 1, 2, &[&INTEGER, b"FALSE\0\0\0TRUE\0\0\0\0", &[0; 16]]);
        assert_eq!(check_attribute(&attribute([1, 0], b"name\0\0\0\0", &flag)), Ok(2 * MEMBER));
        // What is none may be anything.
        assert_eq!(check_attribute(&attribute([4, 0], b"name\0", &deep)), Ok(0));
        assert_eq!(check_attribute(&[3]), Ok(0));
        // 1,000 strings, of a type here or elsewhere; numbers aren't sorted.
        let string = [&LIST[..], &of(3, 1, 0, &[])].concat();
        for (flags, own, cost) in
            [(0, &string, 1001 * 1001 / MOVED), (1, &INTEGER.to_vec(), 1001 * 1001 / MOVED), (0, &INTEGER.to_vec(), 0)]
        {
            let strings = [&attribute([2, flags], b"x\0", own)[..], &[0; 16 * 1000]].concat();
            assert_eq!(check_attribute(&strings), Ok(cost), "{flags}");
        }
    }
}
