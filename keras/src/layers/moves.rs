//! Layers that move values.

use super::arguments::Arguments;
use super::known::{Known, one, rank_of};
use crate::error::Problem;
use locally_connected::DataFormat;
use locally_connected::model::Move;

/// With one spatial axis there is only one format.
fn data_format(rank: usize, arguments: &Arguments<'_>) -> Result<DataFormat, Problem> {
    if rank == 1 { Ok(DataFormat::ChannelsLast) } else { arguments.data_format() }
}

pub(super) fn pad(class: &str, arguments: &Arguments<'_>, inputs: &[&[usize]]) -> Result<Known, Problem> {
    let rank = rank_of(class);
    let sides = arguments.both_sides("padding", rank)?.unwrap_or_else(|| vec![[1; 2]; rank]);
    Known::plain(Move::Pad(sides, data_format(rank, arguments)?), inputs)
}

pub(super) fn crop(class: &str, arguments: &Arguments<'_>, inputs: &[&[usize]]) -> Result<Known, Problem> {
    let rank = rank_of(class);
    let default = if rank == 1 { [1; 2] } else { [0; 2] };
    let sides = arguments.both_sides("cropping", rank)?;
    let sides = sides.unwrap_or_else(|| vec![if rank == 3 { [1; 2] } else { default }; rank]);
    Known::plain(Move::Crop(sides, data_format(rank, arguments)?), inputs)
}

pub(super) fn up_sample(class: &str, arguments: &Arguments<'_>, inputs: &[&[usize]]) -> Result<Known, Problem> {
    let rank = rank_of(class);
    let factors = arguments.per_axis("size", rank)?.unwrap_or_else(|| vec![2; rank]);
    match arguments.text("interpolation")?.as_deref() {
        None | Some("nearest") => {}
        Some(other) => {
            let (value, why) = (format!("{other:?}"), "only \"nearest\" is");
            return Err(Problem::Refused { argument: "interpolation", value, why });
        }
    }
    Known::plain(Move::Repeat(factors, data_format(rank, arguments)?), inputs)
}

pub(super) fn permute(_: &str, arguments: &Arguments<'_>, inputs: &[&[usize]]) -> Result<Known, Problem> {
    if arguments.given("dims").is_none() {
        return Err(Problem::lacks("it", "`dims`"));
    }
    let order = arguments.axes("dims", one(inputs)?.len(), 1)?;
    Known::plain(Move::Permute(order), inputs)
}

pub(super) fn repeat(_: &str, arguments: &Arguments<'_>, inputs: &[&[usize]]) -> Result<Known, Problem> {
    Known::plain(Move::RepeatRow(arguments.needed_size("n")?), inputs)
}
