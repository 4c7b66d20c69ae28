//! Whole models on the host's device.

use super::{Bindings, Bound, BufferRange, Context, Weights};
use crate::geometry::Sharing;
use crate::model::{Graph, Model, Wanted, names};
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
    graph: Graph,
    weights: Weights,
}

impl Model {
    /// Uploads the parameters to the host's device; they take effect with the host's next submit.
    ///
    /// # Errors
    /// Those of [`Model::check`]; [`Error::Limit`], [`Error::OverBudget`] and [`Error::Unsupported`] for a layer that
    /// the device or the wanted implementation can't compute; [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub async fn upload(&self, context: &Context) -> Result<Loaded> {
        self.upload_with(context, PlanOptions::default()).await
    }

    /// As [`Model::upload`], with what the planner may use.
    ///
    /// # Errors
    /// Those of [`Model::upload`].
    pub async fn upload_with(&self, context: &Context, options: PlanOptions) -> Result<Loaded> {
        self.upload_pieces(context, options, || ()).await
    }

    /// As [`Model::upload`], calling `between` after each piece that was written.
    #[cfg(feature = "headless")]
    pub(crate) async fn upload_by(&self, context: &Context, between: impl FnMut()) -> Result<Loaded> {
        self.upload_pieces(context, PlanOptions::default(), between).await
    }

    async fn upload_pieces(
        &self,
        context: &Context,
        options: PlanOptions,
        mut between: impl FnMut(),
    ) -> Result<Loaded> {
        self.check()?;
        let planner = Planner::new(context.profile()).with_options(options);
        for (layer, geometry) in self.graph.geometries() {
            // Shared weights have the loop variant alone, whatever a whole model is asked to take.
            let forced = geometry.config().implementation.filter(|_| geometry.sharing() == Sharing::Unshared);
            let forced = forced.map(|forced| planner.possible(geometry, forced));
            planner.holds(geometry).and(forced.unwrap_or(Ok(()))).map_err(|error| error.in_layer(layer.name()))?;
        }
        let mut weights = Weights::new(context, &self.graph.forward()).await?;
        weights.set_options(options);
        // Parameters that no output depends on aren't on the device.
        for (name, values) in self.parameters.iter().filter(|(name, _)| weights.get(name).is_some()) {
            let mut upload = weights.upload(name, values)?;
            while upload.write_next().await? {
                between();
            }
            between();
        }
        Ok(Loaded { graph: self.graph.clone(), weights })
    }
}

impl Loaded {
    /// A graph that computes with parameters that are on the device already: another model's, which both then share, or
    /// parameters in the host's buffers ([`Weights::with_buffers`] of [`Graph::forward`]).
    ///
    /// # Errors
    /// [`Error::NotGiven`] for a parameter that isn't there, [`Error::Program`] for one of another shape.
    pub fn with_weights(graph: Graph, weights: &Weights) -> Result<Self> {
        weights.check_has(&graph.forward())?;
        Ok(Self { graph, weights: weights.clone() })
    }

    /// The same graph with parameters of its own, zero until written. A host can write to one set while it uses the
    /// other.
    ///
    /// # Errors
    /// Those of [`Weights::twin`].
    pub async fn twin(&self) -> Result<Self> {
        Ok(Self { graph: self.graph.clone(), weights: self.weights.twin().await? })
    }

    /// Frees the parameters at once, as [`Weights::destroy`] does.
    pub fn destroy(self) {
        self.weights.destroy();
    }

    /// The graph of its layers.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The parameters, to bind programs of [`Loaded::graph`] to.
    #[must_use]
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The parameters, to set the planner's options, or to [add](Weights::extend) the states that a training program
    /// keeps.
    pub fn weights_mut(&mut self) -> &mut Weights {
        &mut self.weights
    }

    /// Binds the forward pass of `batch` samples of a model of one input and one output: from `[batch][input shape]` to
    /// `[batch][output shape]`, which is overwritten.
    ///
    /// # Errors
    /// Those of [`Loaded::bind_forward_named`].
    pub async fn bind_forward<'a>(
        &self,
        batch: u32,
        input: impl Into<BufferRange<'a>>,
        output: impl Into<BufferRange<'a>>,
    ) -> Result<Bound> {
        let bindings = Bindings::default().with(names::INPUT, input.into()).with(names::OUTPUT, output.into());
        self.bind_forward_named(batch, &bindings).await
    }

    /// Binds the forward pass of `batch` samples, the program of [`Graph::forward`], to buffers by their names:
    /// [`Graph::input_buffer`] and [`Graph::output_buffer`] say which.
    ///
    /// # Errors
    /// Those of [`Weights::bind`].
    pub async fn bind_forward_named(&self, batch: u32, bindings: &Bindings<'_>) -> Result<Bound> {
        let bound = self.weights.bind(&self.graph.forward(), batch, bindings).await;
        bound.map_err(|error| match error {
            // With one input and one output it is known which shape a length comes from.
            Error::Length { what, expected, found, shape } => {
                let ends = if what == names::INPUT { self.graph.inputs() } else { self.graph.outputs() };
                let shape = match &ends[..] {
                    [end] => std::iter::once(batch as usize).chain(end.shape.iter().copied()).collect(),
                    _ => shape,
                };
                Error::Length { what, expected, found, shape }
            }
            error => error,
        })
    }

    /// Binds a forward and a backward pass of `batch` samples, the program of [`Graph::backward`], to buffers by the names
    /// in [`names`]. For gradients that are added to what their buffers hold, bind that program's
    /// [`accumulating`](crate::program::Program::accumulating) to [`Loaded::weights`].
    ///
    /// # Errors
    /// Those of [`Weights::bind`].
    pub async fn bind_backward(&self, batch: u32, wanted: Wanted, bindings: &Bindings<'_>) -> Result<Bound> {
        self.weights.bind(&self.graph.backward(wanted), batch, bindings).await
    }
}
