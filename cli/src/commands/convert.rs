//! `locally convert`: a model in another format or weight layout.

use crate::args::{Common, Convert};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::{memory, model, output};
use locally_connected_keras::{Error, FileFormat, Local, write_file};

pub(crate) fn convert(common: &Common, args: &Convert) -> Result<(), Failure> {
    let format = FileFormat::from_path(&args.out)?;
    output::check_destination(&args.out)?;
    let progress = Progress::start(common.quiet, "reading the model");
    let mut file = model::open_whole(&args.source, &progress)?;
    progress.set("converting");
    if let Some(layout) = args.implementation {
        let elements = |layer: &Local| layout.keras().len(&layer.geometry);
        let kernels = file.locals().map(|(_, local)| elements(local)).fold(0, u64::saturating_add);
        // For the new kernels, the file's bytes, and what a format makes of a kernel on the way to another.
        let needed = kernels.saturating_mul(4 * 3);
        memory::check(&format!("the layout of implementation {}", layout.keras().number()), needed)?;
        file = file.with_implementation(layout.keras())?;
    }
    let bytes = file.to_bytes(format).map_err(|error| match error {
        Error::UnsupportedLayers(_) => {
            Failure::from(error).with_help("only models of which every layer runs here can be written")
        }
        error => error.into(),
    })?;
    progress.set("writing");
    Ok(write_file(&args.out, &bytes)?)
}
