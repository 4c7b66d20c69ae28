//! What kernels read of layers besides their weights: one copy on the device for all programs of the layers.

use super::tensor::buffer;
use super::{Context, Making, scoped};
use crate::Result;
use crate::geometry::Geometry;
use crate::plan::{Resource, constant_words};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Tap tables and sparse indices, made when a program is first bound that needs them.
#[derive(Debug, Default)]
pub(super) struct Constants {
    made: Mutex<Vec<Constant>>,
}

#[derive(Debug)]
struct Constant {
    layer: Arc<Geometry>,
    resource: Resource,
    buffer: wgpu::Buffer,
}

impl Constant {
    fn is_of(&self, layer: &Arc<Geometry>, resource: Resource) -> bool {
        self.resource == resource && self.layer.connects_as(layer)
    }
}

impl Constants {
    fn lock(&self) -> MutexGuard<'_, Vec<Constant>> {
        // The list is never left half-changed, so a panic elsewhere while it was locked does no harm.
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, layer: &Arc<Geometry>, resource: Resource) -> Option<wgpu::Buffer> {
        self.lock().iter().find(|constant| constant.is_of(layer, resource)).map(|constant| constant.buffer.clone())
    }

    /// A layer's tap tables or sparse index on the device.
    pub(super) async fn get(
        &self,
        context: &Context,
        layer: &Arc<Geometry>,
        resource: Resource,
    ) -> Result<wgpu::Buffer> {
        if let Some(buffer) = self.find(layer, resource) {
            return Ok(buffer);
        }
        let label = match resource {
            Resource::SparseIndex => "locally-connected sparse index",
            _ => "locally-connected tap tables",
        };
        let (device, data) = (context.device(), constant_words(layer, resource));
        let bytes = 4 * data.len() as u64;
        let (made, caught) = scoped(device, Making::new(label, bytes), || {
            let made = buffer(device, label, bytes);
            context.queue().write_buffer(&made, 0, bytemuck::cast_slice(&data));
            made
        });
        caught.await?;
        let mut all = self.lock();
        // Whoever was first wins; the contents are the same.
        if let Some(first) = all.iter().find(|constant| constant.is_of(layer, resource)) {
            return Ok(first.buffer.clone());
        }
        all.push(Constant { layer: layer.clone(), resource, buffer: made.clone() });
        Ok(made)
    }

    /// Bytes of those made so far.
    pub(super) fn bytes(&self) -> u64 {
        self.lock().iter().map(|constant| constant.buffer.size()).sum()
    }
}
