//! Initializers, regularizers and constraints of Keras's names.

use crate::named::Named;
use locally_connected::config::{Axes, Constraint, Distribution, FanMode, Initializer, OrthogonalMode, Regularizer};
use locally_connected::{Error, Result};

fn unknown<T>(argument: &'static str, expected: &'static str, value: String) -> Result<T> {
    Err(Error::UnknownValue { argument, expected, value })
}

/// How values are drawn.
pub(crate) fn initializer(named: &mut Named) -> Result<Initializer> {
    let mut made = Initializer::from_keras_name(named.name())?;
    match &mut made {
        Initializer::Constant { value } => named.float("value", value)?,
        Initializer::RandomNormal { mean, stddev, .. } | Initializer::TruncatedNormal { mean, stddev, .. } => {
            named.float("mean", mean)?;
            named.float("stddev", stddev)?;
        }
        Initializer::RandomUniform { minval, maxval, .. } => {
            named.float("minval", minval)?;
            named.float("maxval", maxval)?;
        }
        Initializer::VarianceScaling { scale, mode, distribution, .. } => {
            named.float("scale", scale)?;
            if let Some(name) = named.text_of("mode")? {
                *mode = match name.as_str() {
                    "fan_in" => FanMode::In,
                    "fan_out" => FanMode::Out,
                    "fan_avg" => FanMode::Average,
                    _ => return unknown("mode", "fan_in, fan_out, fan_avg", name),
                };
            }
            if let Some(name) = named.text_of("distribution")? {
                *distribution = match name.as_str() {
                    "truncated_normal" | "normal" => Distribution::TruncatedNormal,
                    "untruncated_normal" => Distribution::UntruncatedNormal,
                    "uniform" => Distribution::Uniform,
                    _ => return unknown("distribution", "truncated_normal, untruncated_normal, uniform", name),
                };
            }
        }
        Initializer::Orthogonal { gain, .. } | Initializer::Identity { gain } => named.float("gain", gain)?,
        _ => {}
    }
    if let Initializer::RandomNormal { seed, .. }
    | Initializer::TruncatedNormal { seed, .. }
    | Initializer::RandomUniform { seed, .. }
    | Initializer::VarianceScaling { seed, .. }
    | Initializer::GlorotUniform { seed }
    | Initializer::GlorotNormal { seed }
    | Initializer::HeUniform { seed }
    | Initializer::HeNormal { seed }
    | Initializer::LecunUniform { seed }
    | Initializer::LecunNormal { seed }
    | Initializer::Orthogonal { seed, .. } = &mut made
    {
        *seed = named.integer("seed")?;
    }
    Ok(made)
}

/// What is added to the loss.
pub(crate) fn regularizer(named: &mut Named) -> Result<Regularizer> {
    let mut made = Regularizer::from_keras_name(named.name())?;
    match &mut made {
        Regularizer::L1 { l1 } => named.float("l1", l1)?,
        Regularizer::L2 { l2 } => named.float("l2", l2)?,
        Regularizer::L1L2 { l1, l2 } => {
            named.float("l1", l1)?;
            named.float("l2", l2)?;
        }
        Regularizer::Orthogonal { factor, mode } => {
            named.float("factor", factor)?;
            if let Some(name) = named.text_of("mode")? {
                *mode = match name.as_str() {
                    "rows" => OrthogonalMode::Rows,
                    "columns" => OrthogonalMode::Columns,
                    _ => return unknown("mode", "rows, columns", name),
                };
            }
        }
        _ => {}
    }
    Ok(made)
}

/// What weights are brought back to.
pub(crate) fn constraint(named: &mut Named) -> Result<Constraint> {
    let mut made = Constraint::from_keras_name(named.name())?;
    match &mut made {
        Constraint::MaxNorm { max_value, axis } => {
            named.float("max_value", max_value)?;
            axes(named, axis)?;
        }
        Constraint::UnitNorm { axis } => axes(named, axis)?,
        Constraint::MinMaxNorm { min_value, max_value, rate, axis } => {
            named.float("min_value", min_value)?;
            named.float("max_value", max_value)?;
            named.float("rate", rate)?;
            axes(named, axis)?;
        }
        _ => {}
    }
    Ok(made)
}

fn axes(named: &mut Named, to: &mut Axes) -> Result<()> {
    let Some(list) = named.list("axis")? else { return Ok(()) };
    if let Some(wrong) = list.iter().find(|axis| axis.fract() != 0.0) {
        return unknown("axis", "whole numbers", wrong.to_string());
    }
    *to = match list[..] {
        [axis] => Axes::One(axis as i64),
        _ => Axes::Several(list.iter().map(|&axis| axis as i64).collect()),
    };
    Ok(())
}
