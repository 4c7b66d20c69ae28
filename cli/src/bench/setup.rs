//! Ways to choose kernels, which can be measured against each other: a form, or other numbers of the strategy.

use locally_connected::plan::Strategy;
use locally_connected::{Form, PlanOptions};
use serde_json::{Map, Value};

/// A way to choose kernels.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Setup {
    /// None if there is only the planner's own way.
    pub(crate) name: Option<String>,
    form: Option<Form>,
    changes: Map<String, Value>,
}

impl Setup {
    /// A form of loop's kernels, with the device's own numbers.
    pub(crate) fn form(form: Form) -> Self {
        Self { name: Some(format!("form={}", name(form))), form: Some(form), changes: Map::new() }
    }

    /// The planner's options; `own` are the device's numbers.
    pub(crate) fn options(&self, own: Strategy) -> PlanOptions {
        // Impossible numbers were refused when the arguments were read.
        let strategy = self.strategy(own).ok().filter(|strategy| *strategy != own);
        PlanOptions { form: self.form, strategy, ..PlanOptions::default() }
    }

    fn strategy(&self, own: Strategy) -> serde_json::Result<Strategy> {
        let mut fields = serde_json::to_value(own)?;
        if let Value::Object(fields) = &mut fields {
            fields.extend(self.changes.clone());
        }
        serde_json::from_value(fields)
    }
}

pub(crate) fn name(form: Form) -> String {
    format!("{form:?}").to_lowercase()
}

/// Parses `own`, or numbers and a form such as `form=tiled,tile_shape=64x32`.
pub(crate) fn changes(text: &str) -> Result<Setup, String> {
    let mut setup = Setup { name: Some(text.replace(',', " ")), ..Setup::default() };
    if text == "own" {
        return Ok(setup);
    }
    for change in text.split(',') {
        let (field, value) = change.split_once('=').ok_or_else(|| format!("{change:?} is no NAME=VALUE"))?;
        if field == "form" {
            let named = Form::ALL.into_iter().find(|form| name(*form) == value);
            setup.form = Some(named.ok_or_else(|| format!("{value:?} is none of register, split, tiled"))?);
            continue;
        }
        let value = value.parse::<u32>().map_or_else(|_| Value::from(value), Value::from);
        setup.changes.insert(field.to_owned(), value);
    }
    setup.strategy(Strategy::GPU).map(|_| setup).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read() -> Result<(), Box<dyn std::error::Error>> {
        let setup = changes("form=tiled,tile_shape=64x32,tile_batch=3")?;
        assert_eq!(setup.name.as_deref(), Some("form=tiled tile_shape=64x32 tile_batch=3"));
        assert_eq!(setup.options(Strategy::GPU).form, Some(Form::Tiled));
        assert_eq!(changes("form=split")?, Setup::form(Form::Split));
        let strategy = setup.strategy(Strategy::GPU)?;
        let shape = strategy.tile_shape.ok_or("a shape")?;
        assert_eq!((shape.rows(), shape.columns(), strategy.tile_batch), (64, 32, 3));
        assert_eq!(strategy.split_batch, Strategy::GPU.split_batch);
        assert_eq!(changes("own")?.strategy(Strategy::CPU)?, Strategy::CPU);
        for wrong in ["tile_batch", "tile_batch=x", "unknown=1", "tile_shape=5x7", "form=round"] {
            assert!(changes(wrong).is_err(), "{wrong}");
        }
        Ok(())
    }
}
