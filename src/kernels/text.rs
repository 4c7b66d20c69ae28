//! The texts of shader files. For browsers, which download them, they have no comments, no empty lines, and spaces only where words or
//! operators would be one without.

/// Lines that begin so are read by us (`compose.rs`, `expression.rs`), spaces and all.
const OURS: [&[u8]; 3] = [b"#", b"alias ", b"const "];

/// The text without comments, empty lines and spaces that nobody needs, and its length. With an `N` of 0 it is only measured.
const fn bare<const N: usize>(text: &[u8]) -> ([u8; N], usize) {
    let (mut out, mut length, mut at) = ([0; N], 0, 0);
    // Whether the line has anything yet, whether spaces follow what it has, whether they stay, and the last byte.
    let (mut begun, mut spaced, mut ours, mut last) = (false, false, false, b'\n');
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
                if !begun {
                    ours = is_ours(text, at - 1);
                }
                if spaced && (ours || (is_word(last) && is_word(byte)) || (is_operator(last) && is_operator(byte))) {
                    length = put(&mut out, length, b' ');
                }
                length = put(&mut out, length, byte);
                (begun, spaced, last) = (true, false, byte);
            }
        }
    }
    (out, length)
}

/// Whether one of [`OURS`] stands at that place.
const fn is_ours(text: &[u8], at: usize) -> bool {
    let mut one = 0;
    while one < OURS.len() {
        let mut length = 0;
        while length < OURS[one].len() && at + length < text.len() && text[at + length] == OURS[one][length] {
            length += 1;
        }
        if length == OURS[one].len() {
            return true;
        }
        one += 1;
    }
    false
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether it may be one operator with what follows it: `- -1` is not `--1`.
const fn is_operator(byte: u8) -> bool {
    matches!(byte, b'+' | b'-' | b'*' | b'/' | b'%' | b'<' | b'>' | b'=' | b'!' | b'&' | b'|' | b'^' | b'~')
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
    use super::{bare, bytes, length};
    use std::path::Path;

    /// A line's words and operators.
    fn tokens(line: &str) -> Vec<&str> {
        const PAIRS: [&str; 18] = [
            "->", "--", "++", "&&", "||", "==", "!=", "<=", ">=", "+=", "-=", "*=", "/=", "%=", "<<", ">>", "/*", "*/",
        ];
        let (mut tokens, mut rest) = (Vec::new(), line.trim());
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let pair = PAIRS.iter().any(|pair| rest.starts_with(pair));
            let (token, after) = rest.split_at(if word > 0 {
                word
            } else if pair {
                2
            } else {
                first.len_utf8()
            });
            tokens.push(token);
            rest = after.trim_start();
        }
        tokens
    }

    #[test]
    fn every_file_says_the_same() -> std::io::Result<()> {
        let shaders = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
        let mut files = 0;
        for folder in [shaders.join("shared"), shaders] {
            for file in std::fs::read_dir(folder)? {
                let path = file?.path();
                if path.is_dir() {
                    continue;
                }
                let written = std::fs::read_to_string(&path)?;
                let (bare, length) = bare::<{ 1 << 16 }>(written.as_bytes());
                let bare = String::from_utf8_lossy(&bare[..length]).into_owned();
                let code = |text: &str| {
                    text.lines().map(|line| line.split("//").next().unwrap_or("").trim().to_owned()).collect::<Vec<_>>()
                };
                let written: Vec<String> = code(&written).into_iter().filter(|line| !line.is_empty()).collect();
                assert_eq!(code(&bare).len(), written.len(), "{}", path.display());
                for (bare, written) in code(&bare).iter().zip(&written) {
                    assert_eq!(tokens(bare), tokens(written), "{}", path.display());
                }
                files += 1;
            }
        }
        assert!(files > 100, "{files} files");
        Ok(())
    }

    #[test]
    fn what_only_readers_need_is_left_out() {
        const WRITTEN: &str = "// One, für Leser.\n\n#import shared/a with A = B\nalias A = f32;\nconst N = 2u * M;\nfn f(x: f32) -> f32 {\n    \
            x  = 1; // two\n\t\n  // three\n  let y = x - -1.0 / 2.0;\n  #if N == 2u\n  return a[ 1u ];\n}";
        const BARE: [u8; length(WRITTEN)] = bytes(WRITTEN);
        let expected = "#import shared/a with A = B\nalias A = f32;\nconst N = 2u * M;\nfn f(x:f32)->f32{\nx=1;\nlet y=x- -1.0/2.0;\n\
            #if N == 2u\nreturn a[1u];\n}";
        assert_eq!(std::str::from_utf8(&BARE), Ok(expected));
    }
}
