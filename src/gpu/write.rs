//! Writes to the host's queue.

use super::scoped::Making;
use super::{BufferRange, Context, scoped};
use crate::Result;

/// How much larger than wgpu's copy the room for it is: an allocator that aligns may find a little less the second time.
const MORE: u64 = 64 << 10;

/// Writes bytes, whole words, to the beginning of a range. They take effect with the host's next submit.
///
/// wgpu copies what is written, and where it has no memory for the copy it gives the device up, with everything that the host has
/// on it. So a buffer as that copy will be is made first: that one may be refused, and nothing is lost. It makes room at the last
/// moment, so that nothing takes its place but another thread. (A browser has no such copy.)
pub(super) async fn write(context: &Context, to: BufferRange<'_>, bytes: &[u8], making: Making) -> Result<()> {
    let device = context.device();
    let mut room = None;
    if cfg!(not(target_family = "wasm")) && !bytes.is_empty() {
        let (made, caught) = scoped(device, making.clone(), || {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("locally-connected room for a write"),
                size: (bytes.len() as u64 + MORE).min(context.profile().max_buffer),
                usage: wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            })
        });
        caught.await?;
        room = Some(made);
    }
    let ((), caught) = scoped(device, making, || {
        drop(room);
        context.queue().write_buffer(to.buffer, to.offset, bytes);
    });
    caught.await
}
