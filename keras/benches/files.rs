//! Models that Keras wrote, read from memory and written again. `cargo bench --package locally-connected-keras`.

#![forbid(unsafe_code)]

use criterion::{BenchmarkId, Criterion, Throughput};
use locally_connected_keras::{Error, FileFormat, ModelFile, Result};
use std::hint::black_box;

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("file");
    for (name, format) in [("digits.h5", FileFormat::Hdf5), ("digits.keras", FileFormat::Keras)] {
        let path = format!("{}/../tests/fixtures/digits/{name}", env!("CARGO_MANIFEST_DIR"));
        let bytes =
            std::fs::read(&path).map_err(|error| Error::Io { path, kind: error.kind(), message: error.to_string() })?;
        let file = ModelFile::from_bytes(name, &bytes, format)?;
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::new("read", name), |b| {
            b.iter(|| ModelFile::from_bytes(name, black_box(&bytes), format));
        });
        group.bench_function(BenchmarkId::new("write", name), |b| b.iter(|| black_box(&file).to_bytes(format)));
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}
