//! A model's parameters on the host's device.

use super::constants::Constants;
use super::operands::Called;
use super::upload::Values;
use super::{BufferRange, Context, Making, Tensor, Upload, scoped};
use crate::config::WeightType;
use crate::ops::{Buffer, Usage};
use crate::plan::{PlanOptions, Planner, TuneTable, cut};
use crate::program::Program;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Parameters by the names that programs have for them, and what optimizers keep of them: uploaded once, shared by all programs
/// that are [bound](Weights::bind) to them, of whatever batch and pass. Zero until written. A program that updates parameters
/// binds them to be read and written.
#[derive(Debug)]
pub struct Weights {
    pub(super) context: Context,
    pub(super) parameters: BTreeMap<String, Parameter>,
    pub(super) constants: Constants,
    options: PlanOptions,
    tuned: Option<Arc<TuneTable>>,
}

/// A parameter on the device.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) described: Buffer,
    pub(super) values: Tensor,
}

impl Parameter {
    /// Checks that a program means this by `buffer`.
    pub(super) fn check_is(&self, buffer: &Buffer) -> Result<()> {
        if self.described == *buffer {
            return Ok(());
        }
        let what = format!("buffer {:?}", buffer.name);
        Err(Error::Program { what, why: "the parameter of its name has another shape" })
    }
}

impl Weights {
    /// Buffers for all parameters and states of `program`. Host work does not grow with the number of weights.
    ///
    /// # Errors
    /// Those of [`Program::check`]; [`Error::Limit`] where the device can't bind even one filter at one location, or a bias;
    /// [`Error::OutOfMemory`].
    pub async fn new(context: &Context, program: &Program) -> Result<Self> {
        let (constants, options) = (Constants::default(), PlanOptions::default());
        let mut none = Self { context: context.clone(), parameters: BTreeMap::new(), constants, options, tuned: None };
        none.extend(program).await?;
        Ok(none)
    }

    /// Buffers for those parameters and states of `program` that aren't there yet, zero: a program that trains has states besides the
    /// parameters of one that doesn't. What is there stays, and so do programs bound to it.
    ///
    /// # Errors
    /// Those of [`Weights::new`]; [`Error::Program`] where a parameter of the same name has another shape. Nothing is there then
    /// that wasn't before.
    pub async fn extend(&mut self, program: &Program) -> Result<()> {
        program.check()?;
        let (device, profile) = (self.context.device(), self.context.profile());
        let kept = program.used_as(Usage::Parameter).chain(program.used_as(Usage::State));
        let mut cuts = Vec::new();
        for buffer in kept {
            match self.parameters.get(&buffer.name) {
                None => cuts.push((buffer, cut(&buffer.shape, profile)?)),
                Some(there) => there.check_is(buffer)?,
            }
        }
        let bytes = cuts.iter().flat_map(|(buffer, chunks)| chunks.iter().map(|chunk| chunk.bytes(buffer.dtype))).sum();
        let (parameters, caught): (BTreeMap<_, _>, _) = scoped(device, Making::new("the parameters", bytes), || {
            let made = cuts.into_iter().map(|(buffer, chunks)| {
                let label = format!("locally-connected {}", buffer.name);
                let values = Tensor::new(device, &label, &buffer.shape, buffer.dtype, chunks);
                (buffer.name.clone(), Parameter { described: buffer.clone(), values })
            });
            made.collect()
        });
        caught.await?;
        self.parameters.extend(parameters);
        Ok(())
    }

    /// Sets what the planner may use from now on.
    pub fn set_options(&mut self, options: PlanOptions) {
        self.options = options;
    }

    /// Gives the planner measured choices, from [`crate::tune()`], to go by from now on.
    pub fn set_tuned(&mut self, table: Arc<TuneTable>) {
        self.tuned = Some(table);
    }

    /// The context they were made in.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The planner of the programs bound to them.
    #[must_use]
    pub fn planner(&self) -> Planner<'_> {
        Planner::new(self.context.profile()).with_options(self.options).with_tuned(self.tuned.as_deref())
    }

    /// The parameters' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parameters.keys().map(String::as_str)
    }

    /// A parameter's buffers, say for an optimizer of the host's; none where there is no parameter of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.parameters.get(name).map(|parameter| &parameter.values)
    }

    /// Uploads a parameter's values, in canonical order; they take effect with the host's next submit, until which wgpu
    /// keeps a copy of them ([`Weights::upload`] lets the host submit in between).
    ///
    /// # Errors
    /// Those of [`Weights::upload`] and [`Upload::write_next`].
    pub async fn write(&self, name: &str, values: &[f32]) -> Result<()> {
        self.upload(name, values)?.finish().await
    }

    /// An upload of a parameter's values, in canonical order, piece by piece.
    ///
    /// # Errors
    /// [`Error::NoBuffer`] where there is no parameter of that name, [`Error::Length`].
    pub fn upload<'a>(&'a self, name: &str, values: &'a [f32]) -> Result<Upload<'a>> {
        let Parameter { described, values: buffers } = self.parameter(name)?;
        let (expected, found) = (buffers.len(), values.len() as u64);
        if expected != found {
            let called = Called::new(described);
            let shape = described.shape.sizes();
            return Err(called.blamed(Error::Length { what: called.what, expected, found, shape }));
        }
        self.upload_checked(name, Values::Canonical(values))
    }

    /// An upload of values that were found to be as many as the parameter has.
    pub(super) fn upload_checked<'a>(&'a self, name: &str, values: Values<'a>) -> Result<Upload<'a>> {
        let Parameter { described, values: buffers } = self.parameter(name)?;
        Ok(Upload::new(&self.context, buffers, values, described.name.clone()))
    }

    /// Buffers for the gradient of a parameter, cut as it is.
    ///
    /// # Errors
    /// [`Error::NoBuffer`] where there is no parameter of that name; [`Error::OutOfMemory`].
    pub async fn create_gradient(&self, name: &str) -> Result<Tensor> {
        let parameter = self.parameter(name)?.described.clone();
        self.create(&Buffer { name: format!("gradient of {name}"), dtype: WeightType::F32, ..parameter }).await
    }

    /// Buffers for what a program calls `buffer`, a gradient say, cut as the device's limits need it.
    ///
    /// # Errors
    /// [`Error::Program`] for one that is wrong in itself; those of [`cut`]; [`Error::OutOfMemory`].
    pub async fn create(&self, buffer: &Buffer) -> Result<Tensor> {
        if let Some(why) = buffer.fault() {
            return Err(Error::Program { what: format!("buffer {:?}", buffer.name), why });
        }
        let (device, chunks) = (self.context.device(), cut(&buffer.shape, self.context.profile())?);
        let label = format!("locally-connected {}", buffer.name);
        let making = Making::new(buffer.name.clone(), chunks.iter().map(|chunk| chunk.bytes(buffer.dtype)).sum());
        let make = || Tensor::new(device, &label, &buffer.shape, buffer.dtype, chunks);
        let (buffers, caught) = scoped(device, making, make);
        caught.await?;
        Ok(buffers)
    }

    /// The gradient of a parameter in ranges of the host's buffers, one per chunk, of the chunk's bytes as 32-bit floats.
    pub(super) fn gradient_in(&self, name: &str, ranges: &[BufferRange<'_>]) -> Result<Tensor> {
        let Parameter { described, values } = self.parameter(name)?;
        Ok(Tensor::in_ranges(&described.shape, values.chunks().to_vec(), ranges))
    }

    fn parameter(&self, name: &str) -> Result<&Parameter> {
        self.parameters.get(name).ok_or_else(|| Error::NoBuffer { name: name.to_owned() })
    }

    /// Bytes of the parameters, and of the tables and indices that bound programs needed so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let parameters = self.parameters.values().map(|parameter| parameter.values.bytes());
        parameters.sum::<u64>() + self.constants.bytes()
    }
}
