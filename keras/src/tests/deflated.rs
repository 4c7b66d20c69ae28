//! Zip archives for tests, also those beside the library.

use flate2::{Compression, write::DeflateEncoder};
use rawzip::{CompressionMethod, ZipArchiveWriter};
use std::io::Write;

/// An archive of one compressed file.
pub(crate) fn deflated(name: &str, contents: &[u8]) -> Vec<u8> {
    let mut archive = ZipArchiveWriter::new(Vec::new());
    let (mut entry, config) = archive.new_file(name).compression_method(CompressionMethod::DEFLATE).start().unwrap();
    let mut data = config.wrap(DeflateEncoder::new(&mut entry, Compression::best()));
    data.write_all(contents).unwrap();
    let (encoder, described) = data.finish().unwrap();
    encoder.finish().unwrap();
    entry.finish(described).unwrap();
    archive.finish().unwrap()
}
