//! Whole models on the host's device.

use super::{Bindings, Bound, BufferRange, Context, Weights};
use crate::model::{Chain, Kind, Model, Wanted, names};
use crate::plan::{PlanOptions, Planner};
use crate::{Error, Result};

/// A model with its parameters on a device; from [`Model::upload`].
///
/// ```no_run
/// # use locally_connected::model::Model;
/// # use locally_connected::{Context, Result, wgpu};
/// # type Pass<'a> = wgpu::ComputePass<'a>;
/// # async fn frame(model: &Model, context: &Context, [input, output]: [&wgpu::Buffer; 2], pass: &mut Pass<'_>) -> Result<()> {
/// let loaded = model.upload(context).await?; // once
/// let bound = loaded.bind_forward(8, input, output).await?; // once for a batch size
/// bound.record(pass); // every frame
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Loaded {
    chain: Chain,
    weights: Weights,
    input_shape: Vec<usize>,
    output_shape: Vec<usize>,
}

impl Model {
    /// Uploads the parameters to the host's device; they take effect with the host's next submit.
    ///
    /// # Errors
    /// [`Error::NotPositive`] for a model of no inputs; [`Error::NotGiven`] for a parameter that the model hasn't, [`Error::NoBuffer`] for one that its layers don't have,
    /// [`Error::Length`]; [`Error::Limit`], [`Error::OverBudget`] and [`Error::Unsupported`] for a layer that the device or
    /// the implementation asked for can't do; [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub async fn upload(&self, context: &Context) -> Result<Loaded> {
        self.upload_with(context, PlanOptions::default()).await
    }

    /// As [`Model::upload`], with what the planner may use.
    ///
    /// # Errors
    /// Those of [`Model::upload`].
    pub async fn upload_with(&self, context: &Context, options: PlanOptions) -> Result<Loaded> {
        self.upload_by(context, options, || ()).await
    }

    /// As [`Model::upload_with`], `between` being called when a piece was written.
    pub(crate) async fn upload_by(
        &self,
        context: &Context,
        options: PlanOptions,
        mut between: impl FnMut(),
    ) -> Result<Loaded> {
        self.check()?;
        let planner = Planner::new(context.profile()).with_options(options);
        for layer in &self.chain.layers {
            if let Kind::Local { geometry, .. } = &layer.kind {
                let forced = geometry.config().implementation.map(|forced| planner.possible(geometry, forced));
                planner.holds(geometry).and(forced.unwrap_or(Ok(()))).map_err(|error| error.in_layer(&layer.name))?;
            }
        }
        let mut weights = Weights::new(context, &self.chain.forward()).await?;
        weights.set_options(options);
        if let Some(name) = weights.names().find(|name| !self.parameters.contains_key(*name)) {
            return Err(Error::NotGiven { name: name.to_owned() });
        }
        for (name, values) in &self.parameters {
            let mut upload = weights.upload(name, values)?;
            while upload.write_next().await? {
                between();
            }
            between();
        }
        let (input_shape, output_shape) = (self.input_shape.clone(), self.output_shape.clone());
        Ok(Loaded { chain: self.chain.clone(), weights, input_shape, output_shape })
    }
}

impl Loaded {
    /// The layers.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The parameters, for programs of [`Loaded::chain`]'s.
    #[must_use]
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The parameters, to set what the planner goes by.
    pub fn weights_mut(&mut self) -> &mut Weights {
        &mut self.weights
    }

    /// Shape of one input sample, without the batch.
    #[must_use]
    pub fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    /// Shape of one output sample, without the batch.
    #[must_use]
    pub fn output_shape(&self) -> &[usize] {
        &self.output_shape
    }

    /// Binds the forward pass of `batch` samples: from `[batch][input shape]` to `[batch][output shape]`, which is
    /// overwritten.
    ///
    /// # Errors
    /// Those of [`Weights::bind`].
    pub async fn bind_forward<'a>(
        &self,
        batch: u32,
        input: impl Into<BufferRange<'a>>,
        output: impl Into<BufferRange<'a>>,
    ) -> Result<Bound> {
        let bindings = Bindings::default().with(names::INPUT, input.into()).with(names::OUTPUT, output.into());
        let bound = self.weights.bind(&self.chain.forward(), batch, &bindings).await;
        bound.map_err(|error| match error {
            Error::Length { what, expected, found, .. } => {
                let sample = if what == names::INPUT { &self.input_shape } else { &self.output_shape };
                let shape = std::iter::once(batch as usize).chain(sample.iter().copied()).collect();
                Error::Length { what, expected, found, shape }
            }
            error => error,
        })
    }

    /// Binds a forward and a backward pass of `batch` samples, the program of [`Chain::backward`], to buffers by the names
    /// in [`names`].
    ///
    /// # Errors
    /// Those of [`Weights::bind`].
    pub async fn bind_backward(&self, batch: u32, wanted: Wanted, bindings: &Bindings<'_>) -> Result<Bound> {
        self.weights.bind(&self.chain.backward(wanted), batch, bindings).await
    }
}
