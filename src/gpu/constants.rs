//! Constant data that kernels read, such as tap tables: one copy on the device for all programs of a model.

use super::tensor::buffer;
use super::write::write;
use super::{BufferRange, Context, Making, scoped};
use crate::Result;
use crate::geometry::Geometry;
use crate::plan::{Resource, constant_words};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Tap tables, sparse indices, and constant words of other operations. Each is made for the first program that needs
/// it.
#[derive(Debug, Default)]
pub(super) struct Constants {
    made: Mutex<Vec<Constant>>,
}

#[derive(Debug)]
struct Constant {
    of: Of,
    buffer: wgpu::Buffer,
}

/// What a constant is.
#[derive(Debug, Clone)]
enum Of {
    Layer(Arc<Geometry>, Resource),
    Words(Arc<[u32]>),
}

impl Of {
    /// Layers with the same connections share their constants, so the connections name it.
    fn label(&self) -> String {
        match self {
            Self::Layer(layer, Resource::SparseIndex) => {
                format!("locally-connected sparse index of {}", layer.signature())
            }
            Self::Layer(layer, _) => format!("locally-connected tap tables of {}", layer.signature()),
            Self::Words(_) => "locally-connected groups of weights".into(),
        }
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Layer(layer, resource), Self::Layer(other, held)) => resource == held && layer.connects_as(other),
            (Self::Words(words), Self::Words(held)) => Arc::ptr_eq(words, held) || words == held,
            (Self::Layer(..), Self::Words(_)) | (Self::Words(_), Self::Layer(..)) => false,
        }
    }

    fn data(&self) -> Result<Cow<'_, [u32]>> {
        match self {
            Self::Words(words) => Ok(words[..].into()),
            Self::Layer(layer, resource) => Ok(constant_words(layer, *resource)?.into()),
        }
    }

    async fn made(&self, context: &Context) -> Result<wgpu::Buffer> {
        let (label, data) = (self.label(), self.data()?);
        let making = Making::new(label.clone(), 4 * data.len() as u64);
        let make = || buffer(context.device(), &label, 4 * data.len() as u64);
        let (made, caught) = scoped(context.device(), making.clone(), make);
        caught.await?;
        write(context, BufferRange::from(&made), bytemuck::cast_slice(&data), making).await?;
        Ok(made)
    }
}

impl Constants {
    fn lock(&self) -> MutexGuard<'_, Vec<Constant>> {
        // The list is never left half-changed, so a panic elsewhere while it was locked does no harm.
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, of: &Of) -> Option<wgpu::Buffer> {
        self.lock().iter().find(|constant| constant.of.is(of)).map(|constant| constant.buffer.clone())
    }

    /// A layer's tap tables or sparse index on the device.
    pub(super) async fn get(
        &self,
        context: &Context,
        layer: &Arc<Geometry>,
        resource: Resource,
    ) -> Result<wgpu::Buffer> {
        self.made_once(context, Of::Layer(layer.clone(), resource)).await
    }

    /// Constant words that a plan has for an operation of no layer.
    pub(super) async fn words(&self, context: &Context, words: &Arc<[u32]>) -> Result<wgpu::Buffer> {
        self.made_once(context, Of::Words(words.clone())).await
    }

    async fn made_once(&self, context: &Context, of: Of) -> Result<wgpu::Buffer> {
        if let Some(buffer) = self.find(&of) {
            return Ok(buffer);
        }
        let made = of.made(context).await?;
        let mut all = self.lock();
        // Whoever was first wins; the contents are the same.
        if let Some(first) = all.iter().find(|constant| constant.of.is(&of)) {
            return Ok(first.buffer.clone());
        }
        all.push(Constant { of, buffer: made.clone() });
        Ok(made)
    }

    pub(super) fn destroy(self) {
        self.lock().drain(..).for_each(|constant| constant.buffer.destroy());
    }

    /// Bytes of those made so far.
    pub(super) fn bytes(&self) -> u64 {
        self.lock().iter().map(|constant| constant.buffer.size()).sum()
    }
}
