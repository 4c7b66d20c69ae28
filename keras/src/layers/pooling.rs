//! Pooling of windows, and of all positions.

use super::arguments::Arguments;
use super::known::{Known, rank_of};
use crate::error::Problem;
use locally_connected::Padding;
use locally_connected::model::{GlobalPooling, Pooling};
use locally_connected::ops::PoolKind;

fn kind(class: &str) -> PoolKind {
    if class.contains("Max") { PoolKind::Max } else { PoolKind::Average }
}

pub(super) fn windows(class: &str, arguments: &Arguments<'_>, inputs: &[&[usize]]) -> Result<Known, Problem> {
    let rank = rank_of(class);
    let size = arguments.per_axis("pool_size", rank)?.unwrap_or_else(|| vec![2; rank]);
    let strides = arguments.per_axis("strides", rank)?.unwrap_or_else(|| size.clone());
    let padding = match arguments.text("padding")?.as_deref() {
        None | Some("valid") => Padding::Valid,
        Some("same") => Padding::SameUpper,
        Some(other) => {
            let (argument, expected, value) = ("padding", "\"valid\", \"same\"", format!("{other:?}"));
            return Err(locally_connected::Error::UnknownValue { argument, expected, value }.into());
        }
    };
    let data_format = arguments.data_format()?;
    Known::plain(Pooling { kind: kind(class), size, strides, padding, data_format }, inputs)
}

pub(super) fn whole(class: &str, arguments: &Arguments<'_>, inputs: &[&[usize]]) -> Result<Known, Problem> {
    let (data_format, keep_dims) = (arguments.data_format()?, arguments.boolean("keepdims", false)?);
    let rank = rank_of(class);
    match inputs {
        [input] if input.len() != rank + 1 => {
            Err(locally_connected::Error::InputRank { expected: rank + 1, shape: input.to_vec() }.into())
        }
        _ => Known::plain(GlobalPooling { kind: kind(class), data_format, keep_dims }, inputs),
    }
}
