//! Types in an HDF5 file's messages, of which `hdf5-pure` bounds neither how deep they are nor how many members they claim.

use hdf5_pure::FormatError;

/// Most types in one another. Those of Keras's strings are two.
const DEEP: usize = 16;

/// How many strings' places are moved up in the time that a byte costs. An attribute of 30,000 strings can be read in a file that holds them.
const STRINGS: u64 = 32;

const REFUSED: &str = "one of its types has more than 16 types in one another, or more members than bytes";

const _: () = assert!(DEEP == 16, "REFUSED says another number");

/// Why a type has no length.
enum Why {
    /// It isn't one, or it is cut off: the library says so.
    Not,
    Refused,
}

/// Looks at the types in some metadata, which the library is going to follow: in a part of an object's header, or in an attribute in a heap,
/// which is read by itself. Other metadata is taken for these, too: lists of addresses and names don't look like them.
/// Returns what it costs to list the strings of attributes, in bytes: the library sorts their places by inserting one by one.
pub(crate) fn check(read: &[u8]) -> Result<u64, FormatError> {
    let mut cost = attribute(read)?;
    for (from, prefix) in headers(read) {
        let mut rest = read.get(from..).unwrap_or_default();
        while let Some(message) = Message::first(rest, prefix) {
            let own = match message.kind {
                3 => look(message.body, message.body)?,
                12 => attribute(message.body)?,
                _ => 0,
            };
            cost = cost.saturating_add(own);
            rest = message.rest;
        }
    }
    Ok(cost)
}

/// From which byte on messages may lie in a part of a header, and how many bytes of its own each begins with. That a second part says is
/// known of the first alone.
fn headers(read: &[u8]) -> [(usize, usize); 2] {
    match *read {
        [b'O', b'H', b'D', b'R', _, flags, ..] => {
            let times = if flags & 32 == 0 { 0 } else { 16 };
            let changes = if flags & 16 == 0 { 0 } else { 4 };
            let prefix = if flags & 4 == 0 { 4 } else { 6 };
            [(6 + times + changes + (1 << (flags & 3)), prefix), (read.len(), prefix)]
        }
        [b'O', b'C', b'H', b'K', ..] => [(4, 4), (4, 6)],
        _ => [(0, 8), (read.len(), 8)],
    }
}

struct Message<'a> {
    kind: u16,
    body: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Message<'a> {
    fn first(bytes: &'a [u8], prefix: usize) -> Option<Self> {
        let (own, after) = bytes.split_at_checked(prefix)?;
        let (kind, size) = match *own {
            [low, high, of, size, _, _, _, _] => (u16::from_le_bytes([low, high]), [of, size]),
            [kind, of, size, ..] => (kind.into(), [of, size]),
            _ => return None,
        };
        let (body, rest) = after.split_at_checked(u16::from_le_bytes(size).into())?;
        Some(Self { kind, body, rest })
    }
}

/// What it costs to list an attribute's strings.
fn attribute(body: &[u8]) -> Result<u64, FormatError> {
    type_of_attribute(body).map_or(Ok(0), |own| look(own, body))
}

fn look(own: &[u8], body: &[u8]) -> Result<u64, FormatError> {
    if let Err(Why::Refused) = length(own, 0) {
        return Err(FormatError::Source(REFUSED.into()));
    }
    let strings = if own.first().is_some_and(|first| first & 15 == 9) { body.len() as u64 / 16 } else { 0 };
    Ok(strings.saturating_mul(strings) / STRINGS)
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
    let is_refused = match class {
        6 | 11 => members > bytes.len() / 8,
        8 => members > bytes.len() || next & 15 != 0,
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
        (6 | 11, _) => (8, 1, offset_bytes(size)),
        (8, 0..3) => (20, 8, 0),
        (8, _) => (20, 1, 0),
        (9, _) => (8, 0, 0),
        (10, 2) => (12 + 8 * next, 0, 0),
        (10, _) => (9 + 4 * next, 0, 0),
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
    }

    /// Every place from which the library reads a type: messages in the first and in other parts of headers of both versions,
    /// attributes in them, and attributes in a heap.
    #[test]
    fn types_are_found_where_they_are_read() {
        let deep = [&LIST.repeat(DEEP)[..], &INTEGER].concat();
        let size = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_le_bytes();
        let attribute = |version: u8, name: &[u8], own: &[u8]| {
            let sizes =
                [&[version, 0][..], &size(name), &size(own), &[0; 2], &[0_u8][..(version == 3).into()]].concat();
            [&sizes, name, own].concat()
        };
        let message = |prefix: usize, kind: u8, body: &[u8]| match prefix {
            8 => [&[kind, 0][..], &size(body), &[0; 4], body].concat(),
            _ => [&[kind][..], &size(body), &[0; 3][..prefix - 3], body].concat(),
        };
        let first = |flags: u8, before: usize, prefix: usize, body: &[u8]| {
            [b"OHDR\x02", &[flags][..], &vec![0; before], &message(prefix, 1, &[0; 5]), &message(prefix, 3, body)]
                .concat()
        };
        let places = |own: &[u8]| {
            vec![
                first(0, 1, 4, own),
                first(0x35, 22, 6, own),
                [b"OCHK", &message(4, 12, &attribute(2, b"x\0", own))[..]].concat(),
                [b"OCHK", &message(6, 12, &attribute(3, b"x\0", own))[..]].concat(),
                [message(8, 1, &[0; 9]), message(8, 12, &attribute(1, b"x\0\0\0\0\0\0\0", own))].concat(),
                attribute(3, b"name\0", own),
            ]
        };
        for (place, read) in places(&deep).iter().enumerate() {
            assert!(check(read).is_err(), "{place}");
        }
        for (place, read) in places(&INTEGER).iter().enumerate() {
            assert_eq!(check(read), Ok(0), "{place}");
        }
        // Another kind of message may hold anything.
        assert_eq!(check(&message(8, 4, &deep)), Ok(0));
        // 1,000 strings.
        let strings = [&attribute(2, b"x\0", &[&LIST[..], &of(3, 1, 0, &[])].concat())[..], &[0; 16 * 1000]].concat();
        assert_eq!(check(&strings), Ok(1001 * 1001 / STRINGS));
    }
}
