//! The texts of shader files. For browsers, which download them, they have no comments, indents and empty lines.

/// The text without comments, indents and empty lines, and its length. With an `N` of 0 it is only measured.
const fn bare<const N: usize>(text: &[u8]) -> ([u8; N], usize) {
    let (mut out, mut length, mut at) = ([0; N], 0, 0);
    // Whether the line has anything yet, and whether spaces follow what it has.
    let (mut begun, mut spaced) = (false, false);
    while at < text.len() {
        let byte = text[at];
        at += 1;
        match byte {
            b'/' if at < text.len() && text[at] == b'/' => {
                while at < text.len() && text[at] != b'\n' {
                    at += 1;
                }
            }
            b' ' | b'\t' | b'\r' => spaced = begun,
            b'\n' => {
                if begun {
                    length = put(&mut out, length, b'\n');
                }
                (begun, spaced) = (false, false);
            }
            _ => {
                if spaced {
                    length = put(&mut out, length, b' ');
                }
                length = put(&mut out, length, byte);
                (begun, spaced) = (true, false);
            }
        }
    }
    (out, length)
}

/// Puts a byte at a place, if there is that place, and gives the next one.
const fn put<const N: usize>(out: &mut [u8; N], at: usize, byte: u8) -> usize {
    if at < N {
        out[at] = byte;
    }
    at + 1
}

/// Length in bytes of the bare text.
pub(super) const fn length(text: &str) -> usize {
    bare::<0>(text.as_bytes()).1
}

/// The bare text, of [`length`] bytes.
pub(super) const fn bytes<const N: usize>(text: &str) -> [u8; N] {
    bare::<N>(text.as_bytes()).0
}

/// The text of a file, by the file's path from `src/kernels`.
macro_rules! text {
    ($($path:expr),*) => {{
        const WRITTEN: &str = include_str!(concat!($($path),*));
        const TEXT: &str = if cfg!(target_family = "wasm") {
            const BYTES: [u8; crate::kernels::text::length(WRITTEN)] = crate::kernels::text::bytes(WRITTEN);
            // The text stays UTF-8, since only whole characters are left out.
            match std::str::from_utf8(&BYTES) {
                Ok(text) => text,
                Err(_) => WRITTEN,
            }
        } else {
            WRITTEN
        };
        TEXT
    }};
}
pub(super) use text;

#[cfg(test)]
mod tests {
    use super::{bytes, length};

    #[test]
    fn comments_and_indents_are_left_out() {
        const WRITTEN: &str = "// One, für Leser.\n\n#import shared/a with A = B\nfn f() {\n    x  = 1; // two\n\t\n  // three\n  y = x / 2;\n}";
        const BARE: [u8; length(WRITTEN)] = bytes(WRITTEN);
        let expected = "#import shared/a with A = B\nfn f() {\nx = 1;\ny = x / 2;\n}";
        assert_eq!(std::str::from_utf8(&BARE), Ok(expected));
    }
}
