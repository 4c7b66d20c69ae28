//! Zip archives, which `.keras` and `.npz` are.

use crate::error::Problem;
use std::io::{Cursor, Read, Write};

/// An archive in memory.
pub(crate) fn open(bytes: &[u8]) -> Result<zip::ZipArchive<Cursor<&[u8]>>, Problem> {
    let unreadable =
        |error: zip::result::ZipError| Problem::Unreadable { format: "zip archive", message: error.to_string() };
    zip::ZipArchive::new(Cursor::new(bytes)).map_err(unreadable)
}

/// The contents of a file in the archive. Memory grows only with what is really there.
pub(crate) fn entry(archive: &mut zip::ZipArchive<Cursor<&[u8]>>, name: &str) -> Result<Vec<u8>, Problem> {
    let mut file = archive.by_name(name).map_err(|error| Problem::format(error).within(name))?;
    let mut contents = Vec::new();
    file.read_to_end(&mut contents).map_err(|error| Problem::format(error).within(name))?;
    Ok(contents)
}

/// A zip archive of uncompressed files, as Keras and NumPy write it; always the same bytes for the same files.
pub(crate) fn zip_bytes<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>) -> Result<Vec<u8>, Problem> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, contents) in files {
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored)
            .last_modified_time(zip::DateTime::default())
            .large_file(contents.len() > u32::MAX as usize / 2);
        archive.start_file(name, options).map_err(|error| Problem::format(error).within(name))?;
        archive.write_all(contents).map_err(|error| Problem::format(error).within(name))?;
    }
    Ok(archive.finish().map_err(Problem::format)?.into_inner())
}
