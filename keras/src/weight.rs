//! Weights of layers that aren't locally connected, as files store them.

use crate::error::Problem;
use crate::layer::Reading;
use locally_connected::Result;

/// A weight of a layer, as the file stores it.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    /// Keras's name of it, such as `gamma`.
    pub name: &'static str,
    /// The shape that the file stores.
    pub shape: Vec<usize>,
    /// In that shape.
    pub values: Vec<f32>,
    pub(crate) form: Form,
}

/// What of a weight its layer's class says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expected {
    pub name: &'static str,
    pub shape: Vec<usize>,
    pub form: Form,
}

/// How a stored weight becomes a parameter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Form {
    /// As it is, and learned.
    Plain,
    /// As it is, and a statistic that is only measured.
    Statistic,
}

impl Expected {
    pub(crate) fn plain(name: &'static str, shape: impl Into<Vec<usize>>) -> Self {
        Self { name, shape: shape.into(), form: Form::Plain }
    }

    /// The shape that an array of the file's stands for, which older Keras stored in another order.
    pub(crate) fn stored_shape(&self, found: &[usize], _: &Reading) -> Vec<usize> {
        found.to_vec()
    }

    /// The weight of values that the file has in the shape `found`.
    pub(crate) fn with(self, found: &[usize], values: Vec<f32>, _: &Reading) -> Result<Weight, Problem> {
        let Self { name, shape, form } = self;
        if shape != found {
            return Err(Problem::Shape { what: name, expected: shape, found: found.to_vec() });
        }
        Ok(Weight { name, shape, values, form })
    }
}

impl Weight {
    /// Whether it has a gradient where its layer is trained.
    pub(crate) fn is_learned(&self) -> bool {
        self.form != Form::Statistic
    }

    /// The parameter as programs have it.
    ///
    /// # Errors
    /// [`locally_connected::Error::Length`] for another number of values than the shape has.
    pub fn canonical(&self) -> Result<Vec<f32>> {
        match &self.form {
            Form::Plain | Form::Statistic => Ok(self.values.clone()),
        }
    }

    /// A gradient of the parameter as the file would store it.
    ///
    /// # Errors
    /// [`locally_connected::Error::Length`] for another number of values than the shape has.
    pub fn stored(&self, canonical: &[f32]) -> Result<Vec<f32>> {
        match &self.form {
            Form::Plain | Form::Statistic => Ok(canonical.to_vec()),
        }
    }
}
