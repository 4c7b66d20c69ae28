//! Zip archives, which `.keras` and `.npz` are.

use crate::contents::{Contents, Place};
use crate::error::Problem;
use std::io::{Cursor, Read, Seek, Write};

/// An archive of which each byte belongs to one file: else a small one could hold the same large file a thousand times.
pub(crate) fn open<R: Read + Seek>(reader: R) -> Result<zip::ZipArchive<R>, Problem> {
    let unreadable = |message: String| Problem::Unreadable { format: "zip archive", message };
    let mut archive = zip::ZipArchive::new(reader).map_err(|error| unreadable(error.to_string()))?;
    if archive.has_overlapping_entries().map_err(|error| unreadable(error.to_string()))? {
        return Err(unreadable("files in it overlap".into()));
    }
    Ok(archive)
}

/// The contents of a file in the archive. Memory grows only with what is really there, not with what is claimed: a deflated byte stands for
/// 1,032 at most.
pub(crate) fn entry<R: Read + Seek>(archive: &mut zip::ZipArchive<R>, name: &str) -> Result<Vec<u8>, Problem> {
    let mut file = archive.by_name(name).map_err(|error| Problem::format(error).within(name))?;
    let mut contents = Vec::new();
    file.read_to_end(&mut contents).map_err(|error| Problem::format(error).within(name))?;
    Ok(contents)
}

/// A file in the archive that `whole` is, without copying it if it isn't compressed. Its checksum is verified.
pub(crate) fn lying(archive: &mut zip::ZipArchive<Place>, whole: &Contents, name: &str) -> Result<Contents, Problem> {
    let failed = |error: &dyn std::fmt::Display| Problem::format(error).within(name);
    let mut file = archive.by_name(name).map_err(|error| failed(&error))?;
    let place = (file.compression() == zip::CompressionMethod::Stored).then(|| file.data_start()).flatten();
    let part = place.and_then(|start| whole.part(start, file.size()));
    let Some(part) = part.filter(|_| !whole.is_held()) else {
        drop(file);
        return entry(archive, name).map(Contents::held);
    };
    // Reading to the end compares the checksum.
    std::io::copy(&mut file, &mut std::io::sink()).map_err(|error| failed(&error))?;
    Ok(part)
}

/// A zip archive of uncompressed files, as Keras and NumPy write it. The same files always give the same bytes.
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
