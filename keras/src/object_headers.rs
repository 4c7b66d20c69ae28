//! Objects' headers among what `hdf5-pure` reads of a file, and the messages in them.

/// Most parts of a header that are named and still to come.
const PARTS: usize = 128;

/// Which reads are parts of headers is known by their order: the library looks at four bytes, reads what a header begins with from there on,
/// then the header's first part, and then those that messages name.
#[derive(Default)]
pub(crate) struct Headers {
    /// Where four bytes were looked at last.
    looked: Option<u64>,
    /// Where a header of version 2 begins whose first part is read next, and where in it the messages do.
    first: Option<(u64, usize)>,
    /// How many bytes each message of this header begins with.
    prefix: usize,
    /// The lengths of parts to come.
    parts: Vec<u64>,
}

/// A message of a header.
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) body: &'a [u8],
}

/// The messages of a part of a header.
pub(crate) struct Messages<'a> {
    rest: &'a [u8],
    prefix: usize,
}

impl Headers {
    /// Contents are read, which are no header; four bytes of them may begin one.
    pub(crate) fn look(&mut self, at: u64, length: usize) {
        self.looked = (length == 4).then_some(at);
    }

    /// The messages in what was read from there on, if it is a part of a header.
    pub(crate) fn part<'a>(&mut self, at: u64, read: &'a [u8]) -> Option<Messages<'a>> {
        let (looked, first) = (self.looked.take(), self.first.take());
        if looked == Some(at) {
            self.begin(at, read);
            return None;
        }
        let from = match first {
            Some((header, from)) if header == at => from,
            _ => {
                let place = self.parts.iter().position(|&length| length == read.len() as u64)?;
                self.parts.swap_remove(place);
                // A further part of version 2 begins with four letters.
                if self.prefix == 8 { 0 } else { 4 }
            }
        };
        Some(Messages { rest: read.get(from..)?, prefix: self.prefix })
    }

    fn begin(&mut self, at: u64, read: &[u8]) {
        self.parts.clear();
        match *read {
            [b'O', b'H', b'D', b'R', _, flags, ..] => {
                let times = if flags & 32 == 0 { 0 } else { 16 };
                let changes = if flags & 16 == 0 { 0 } else { 4 };
                self.prefix = if flags & 4 == 0 { 4 } else { 6 };
                self.first = Some((at, 6 + times + changes + (1 << (flags & 3))));
            }
            [1, _, _, _, _, _, _, _, s0, s1, s2, s3, ..] => {
                self.prefix = 8;
                self.parts.push(u32::from_le_bytes([s0, s1, s2, s3]).into());
            }
            _ => {}
        }
    }

    /// A message names a further part. None if there are too many.
    pub(crate) fn name(&mut self, continuation: &[u8]) -> Option<()> {
        if let Some(&[l0, l1, l2, l3, l4, l5, l6, l7]) = continuation.get(8..16) {
            self.parts.push(u64::from_le_bytes([l0, l1, l2, l3, l4, l5, l6, l7]));
        }
        (self.parts.len() <= PARTS).then_some(())
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let (own, after) = self.rest.split_at_checked(self.prefix)?;
        let (kind, size) = match *own {
            [low, high, of, size, _, _, _, _] => (u16::from_le_bytes([low, high]), [of, size]),
            [kind, of, size, ..] => (kind.into(), [of, size]),
            _ => return None,
        };
        let (body, rest) = after.split_at_checked(u16::from_le_bytes(size).into())?;
        self.rest = rest;
        Some(Message { kind, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read from where: the messages' kinds and lengths, where it is a part of a header.
    fn read(headers: &mut Headers, at: u64, bytes: &[u8]) -> Option<Vec<(u16, usize)>> {
        let messages = headers.part(at, bytes)?;
        let found: Vec<_> = messages.map(|message| (message.kind, message.body.to_vec())).collect();
        for (_, body) in found.iter().filter(|(kind, _)| *kind == 16) {
            assert_eq!(headers.name(body), Some(()));
        }
        Some(found.into_iter().map(|(kind, body)| (kind, body.len())).collect())
    }

    fn message(prefix: usize, kind: u8, body: &[u8]) -> Vec<u8> {
        let [low, high, ..] = body.len().to_le_bytes();
        let own = if prefix == 8 { vec![kind, 0, low, high] } else { vec![kind, low, high] };
        [&own[..], &vec![0; prefix - own.len()], body].concat()
    }

    fn continuation(length: usize) -> Vec<u8> {
        [[0; 8], (length as u64).to_le_bytes()].concat()
    }

    #[test]
    fn parts_of_version_1_follow_their_prefix() {
        let second = [message(8, 3, &[0; 12]), message(8, 12, &[0; 30])].concat();
        let first = [message(8, 1, &[0; 9]), message(8, 16, &continuation(second.len()))].concat();
        let prefix = [&[1, 0, 2, 0, 1, 0, 0, 0][..], &(first.len() as u32).to_le_bytes(), &[0; 4]].concat();
        let mut headers = Headers::default();
        // Before a header nothing is a part of one, and a prefix isn't, either.
        assert_eq!(read(&mut headers, 816, &first), None);
        headers.look(800, 4);
        assert_eq!(read(&mut headers, 800, &prefix), None);
        assert_eq!(read(&mut headers, 816, &first), Some(vec![(1, 9), (16, 16)]));
        assert_eq!(read(&mut headers, 2000, &second), Some(vec![(3, 12), (12, 30)]));
        // Each part comes once.
        assert_eq!(read(&mut headers, 2000, &second), None);
        // Other contents, and four bytes elsewhere, begin no header.
        for (at, length) in [(800, 5), (796, 4)] {
            headers.look(800, 4);
            headers.look(at, length);
            assert_eq!(read(&mut headers, 800, &prefix), None);
            assert_eq!(read(&mut headers, 816, &first), None);
        }
    }

    #[test]
    fn parts_of_version_2_say_how_messages_begin() {
        for (flags, before, prefix) in [(0_u8, 1, 4), (1, 2, 4), (0x34, 21, 6), (0x37, 28, 6)] {
            let second = [b"OCHK", &message(prefix, 12, &[0; 30])[..], &[255; 4]].concat();
            let messages = [message(prefix, 3, &[0; 12]), message(prefix, 16, &continuation(second.len()))].concat();
            let first = [b"OHDR\x02", &[flags][..], &vec![0; before], &messages, &[255; 4]].concat();
            let mut headers = Headers::default();
            headers.look(64, 4);
            assert_eq!(read(&mut headers, 64, &first[..34]), None);
            assert_eq!(read(&mut headers, 64, &first), Some(vec![(3, 12), (16, 16)]), "{flags}");
            assert_eq!(read(&mut headers, 640, &second), Some(vec![(12, 30)]), "{flags}");
        }
    }

    #[test]
    fn a_header_has_some_hundred_parts_at_most() {
        let mut headers = Headers::default();
        let named = (0..=PARTS).filter(|_| headers.name(&continuation(8)).is_some()).count();
        assert_eq!(named, PARTS);
    }
}
