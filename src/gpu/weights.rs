//! A model's parameters on the host's device.

use super::called::Called;
use super::constants::Constants;
use super::operands::{Binding, Bindings};
use super::upload::{Elements, Source};
use super::{Context, Making, ScratchPool, Tensor, Upload, scoped};
use crate::config::WeightType;
use crate::ops::{Buffer, Usage};
use crate::plan::{Chunk, PlanOptions, Planner, TuneTable, cut};
use crate::program::Program;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A model's parameters and an optimizer's states, by the names that programs give them: uploaded once, and shared by
/// all programs that are [bound](Weights::bind) to them, of whatever batch and pass. Zero until written. A program that
/// updates parameters reads and writes them in place.
///
/// Clones share the parameters. Layers of different names share a parameter when the [`Tensor`] of one is given to
/// [`Weights::with_buffers`] under the name of the other.
#[derive(Debug, Clone)]
pub struct Weights {
    pub(super) context: Context,
    pub(super) parameters: BTreeMap<String, Parameter>,
    pub(super) constants: Arc<Constants>,
    pub(super) scratch: Option<ScratchPool>,
    options: PlanOptions,
    tuned: Option<Arc<TuneTable>>,
}

/// A parameter on the device.
#[derive(Debug, Clone)]
pub(super) struct Parameter {
    pub(super) described: Buffer,
    pub(super) values: Tensor,
}

impl Parameter {
    /// Checks that a program's `buffer` describes this parameter.
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
        Self::with_buffers(context, program, &Bindings::default()).await
    }

    /// The parameters of `program`, some of which are on the device already: `given` has them by name, as a range of a
    /// host's buffer or, where the device's limits cut them, as a [`Tensor`]. They are used where they lie, by all that
    /// is bound to them; buffers are made for the others. A range holds the values in canonical order, as its parameter
    /// is stored.
    ///
    /// ```no_run
    /// # use locally_connected::{Bindings, Context, Geometry, LocallyConnected, Result, Weights, wgpu};
    /// # use locally_connected::model::{layer_forward, layer_names};
    /// # use std::sync::Arc;
    /// # async fn adopt(context: &Context, geometry: Geometry, w: &wgpu::Buffer) -> Result<LocallyConnected> {
    /// let program = layer_forward(&Arc::new(geometry.clone()), false);
    /// let given = Bindings::default().with(layer_names::WEIGHTS, w.slice(4096..));
    /// let parameters = Weights::with_buffers(context, &program, &given).await?;
    /// LocallyConnected::with_weights(geometry, &parameters)
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NoBuffer`] for a name that is no parameter's; those of [`Tensor::in_ranges`]; [`Error::Refused`] for a buffer of
    /// another device or one that was destroyed; those of [`Weights::new`].
    pub async fn with_buffers(context: &Context, program: &Program, given: &Bindings<'_>) -> Result<Self> {
        program.check()?;
        let mut parameters = BTreeMap::new();
        for name in given.names() {
            let buffer = kept(program).find(|buffer| buffer.name == name);
            let buffer = buffer.ok_or_else(|| Error::NoBuffer { name: name.to_owned() })?;
            let values = adopted(context, buffer, given.get(name)?).await?;
            parameters.insert(name.to_owned(), Parameter { described: buffer.clone(), values });
        }
        let (constants, options) = (Arc::default(), PlanOptions::default());
        let context = context.clone();
        let mut given = Self { context, parameters, constants, scratch: None, options, tuned: None };
        given.extend(program).await?;
        Ok(given)
    }

    /// Makes buffers, filled with zeroes, for parameters and states of `program` that aren't there yet: a program that
    /// trains has states, too. What is there stays, and so do programs bound to it.
    ///
    /// # Errors
    /// Those of [`Weights::new`]; [`Error::Program`] where a parameter of the same name has another shape. Nothing is
    /// added then.
    pub async fn extend(&mut self, program: &Program) -> Result<()> {
        program.check()?;
        let mut cuts = Vec::new();
        for buffer in kept(program) {
            match self.parameters.get(&buffer.name) {
                None => cuts.push((buffer, cut(&buffer.shape, self.context.profile())?)),
                Some(there) => there.check_is(buffer)?,
            }
        }
        self.parameters.append(&mut made(&self.context, cuts).await?);
        Ok(())
    }

    /// The same parameters in buffers of their own, zero until written. A host can write to one set while it uses the
    /// other, and bind the same programs to either. Both share tables of layers, options and the scratch pool, if there
    /// is one.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub async fn twin(&self) -> Result<Self> {
        let cuts =
            self.parameters.values().map(|Parameter { described, values }| (described, values.chunks().to_vec()));
        let parameters = made(&self.context, cuts.collect()).await?;
        Ok(Self { parameters, ..self.clone() })
    }

    /// Checks that `program` can be bound to these parameters.
    pub(super) fn check_has(&self, program: &Program) -> Result<()> {
        kept(program).try_for_each(|buffer| self.described(buffer).map(drop))
    }

    /// The parameter that a program means by a buffer.
    pub(super) fn described(&self, buffer: &Buffer) -> Result<&Parameter> {
        let found = self.parameters.get(&buffer.name).ok_or_else(|| Error::NotGiven { name: buffer.name.clone() })?;
        found.check_is(buffer)?;
        Ok(found)
    }

    /// Lets programs that are bound from now on take their scratch memory from a pool.
    pub fn set_scratch(&mut self, pool: ScratchPool) {
        self.scratch = Some(pool);
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

    /// Uploads a parameter's values, in canonical order. They take effect with the host's next submit, and wgpu keeps a
    /// copy of them until then; [`Weights::upload`] lets the host submit between pieces.
    ///
    /// # Errors
    /// Those of [`Weights::upload`] and [`Upload::write_next`].
    pub async fn write(&self, name: &str, values: &[f32]) -> Result<()> {
        self.upload(name, values)?.finish().await
    }

    /// Uploads some of a parameter's values, from element number `first` of its canonical order on; they take effect with the
    /// host's next submit.
    ///
    /// # Errors
    /// Those of [`Weights::upload_range`] and [`Upload::write_next`].
    pub async fn write_range(&self, name: &str, first: u64, values: Elements<'_>) -> Result<()> {
        self.upload_range(name, first, values)?.finish().await
    }

    /// An upload of some of a parameter's values, from element number `first` of its canonical order on, piece by piece.
    ///
    /// # Errors
    /// [`Error::NoBuffer`] where there is no parameter of that name; [`Error::Range`] for elements past its end;
    /// [`Error::Alignment`] where it is stored in 16 bits and the elements begin or end with the half of a word, [`Error::Usage`]
    /// where it lies in a buffer of the host's without `COPY_DST`. Nothing is uploaded then.
    pub fn upload_range<'a>(&'a self, name: &str, first: u64, values: Elements<'a>) -> Result<Upload<'a>> {
        let Parameter { described, values: buffers } = self.parameter(name)?;
        let (all, count) = (buffers.len(), values.len());
        if first.checked_add(count).is_none_or(|end| end > all) {
            let called = Called::new(described);
            let bytes = |elements: u64| match described.dtype {
                WeightType::F32 => elements.saturating_mul(4),
                WeightType::F16 => elements.saturating_mul(2),
            };
            let (offset, size, buffer) = (bytes(first), bytes(count), bytes(all));
            return Err(called.blamed(Error::Range { what: called.what, offset, size, buffer }));
        }
        self.upload_checked(name, Source::Canonical(values, first))
    }

    /// An upload of a parameter's values, in canonical order, piece by piece.
    ///
    /// # Errors
    /// [`Error::NoBuffer`] where there is no parameter of that name; [`Error::Length`]; [`Error::Usage`] where it lies in a
    /// buffer of the host's without `COPY_DST`.
    pub fn upload<'a>(&'a self, name: &str, values: &'a [f32]) -> Result<Upload<'a>> {
        let Parameter { described, values: buffers } = self.parameter(name)?;
        let (expected, found) = (buffers.len(), values.len() as u64);
        if expected != found {
            let called = Called::new(described);
            let shape = described.shape.sizes();
            return Err(called.blamed(Error::Length { what: called.what, expected, found, shape }));
        }
        self.upload_checked(name, Source::Canonical(Elements::F32(values), 0))
    }

    /// An upload of values that were found to be as many as the parameter has.
    pub(super) fn upload_checked<'a>(&'a self, name: &str, values: Source<'a>) -> Result<Upload<'a>> {
        let Parameter { described, values: buffers } = self.parameter(name)?;
        let called = Called::new(described);
        let named = (called.what, described.name.clone());
        Upload::new(&self.context, buffers, values, named).map_err(|error| called.blamed(error))
    }

    /// Buffers for the gradient of a parameter, cut as it is.
    ///
    /// # Errors
    /// [`Error::NoBuffer`] where there is no parameter of that name; [`Error::OutOfMemory`].
    pub async fn create_gradient(&self, name: &str) -> Result<Tensor> {
        let parameter = self.parameter(name)?.described.clone();
        self.create(&Buffer { name: format!("gradient of {name}"), dtype: WeightType::F32, ..parameter }).await
    }

    /// Buffers for a program's `buffer`, a gradient for example, cut as the device's limits need it.
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
        let make = || Tensor::new(device, &label, buffer, chunks);
        let (buffers, caught) = scoped(device, making, make);
        caught.await?;
        Ok(buffers)
    }

    /// Frees the parameters' buffers at once, for all clones and for what is bound to them, but those of a host's or of other
    /// parameters; and tables of layers, once nobody else has them. What is recorded with them and not submitted is refused
    /// then. In a browser a buffer that is only dropped keeps its memory until JavaScript collects it.
    pub fn destroy(self) {
        self.parameters.into_values().for_each(|parameter| parameter.values.destroy());
        if let Some(constants) = Arc::into_inner(self.constants) {
            constants.destroy();
        }
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

/// A program's parameters and states: what is kept between its runs.
fn kept(program: &Program) -> impl Iterator<Item = &Buffer> {
    program.used_as(Usage::Parameter).chain(program.used_as(Usage::State))
}

/// Makes buffers for parameters that are cut into these chunks.
async fn made(context: &Context, cuts: Vec<(&Buffer, Vec<Chunk>)>) -> Result<BTreeMap<String, Parameter>> {
    let device = context.device();
    let bytes = cuts.iter().flat_map(|(buffer, chunks)| chunks.iter().map(|chunk| chunk.bytes(buffer.dtype))).sum();
    let (parameters, caught) = scoped(device, Making::new("the parameters", bytes), || {
        let made = cuts.into_iter().map(|(buffer, chunks)| {
            let label = format!("locally-connected {}", buffer.name);
            let values = Tensor::new(device, &label, buffer, chunks);
            (buffer.name.clone(), Parameter { described: buffer.clone(), values })
        });
        made.collect()
    });
    caught.await?;
    Ok(parameters)
}

/// The host's buffers as a parameter, after a check that the device takes them.
async fn adopted(context: &Context, buffer: &Buffer, binding: Binding<'_>) -> Result<Tensor> {
    let called = Called::new(buffer);
    let values = match binding {
        Binding::Range(range) => Tensor::in_ranges(context, buffer, [range])?,
        Binding::Gradient(values) => {
            let chunks = cut(&buffer.shape, context.profile())?;
            values.check_chunks(called.what, &chunks).map_err(|error| called.blamed(error))?;
            if values.dtype() != buffer.dtype {
                let what = format!("buffer {:?}", buffer.name);
                return Err(Error::Program { what, why: "its values are stored in another number of bits" });
            }
            values.clone().lent()
        }
    };
    for range in values.ranges() {
        range.check_taken(context.device(), called.what).await.map_err(|error| called.blamed(error))?;
    }
    Ok(values)
}
