//! Compiled pipelines, one per variant, made on first need or ahead by `prepare`.

use super::{Making, check_there, scoped};
use crate::kernels::{Access, Shader, Uniform, Variant};
use crate::{Error, Result};
use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A pipeline with the layout its bind groups need.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) layout: wgpu::BindGroupLayout,
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) uniform: Uniform,
}

/// The pipelines of one device, shared by all layers of a [`crate::Context`].
#[derive(Debug)]
pub struct Pipelines {
    made: Mutex<HashMap<Variant, Arc<Pipeline>>>,
    /// Held by the thread that compiles, so that no other compiles the same. The others block, as they would for the
    /// driver: were their futures pending, [`crate::wait`] would report that nothing comes.
    compiling: Mutex<()>,
    /// The same in a browser, where one thread awaits the driver's answers.
    #[cfg(target_family = "wasm")]
    asking: futures_intrusive::sync::Mutex<()>,
    /// How often a driver was asked to compile.
    compiled: AtomicUsize,
    /// The host's cache, if it gave one.
    cache: Option<wgpu::PipelineCache>,
}

impl Pipelines {
    pub(super) fn new(cache: Option<wgpu::PipelineCache>) -> Self {
        Self {
            made: Mutex::default(),
            compiling: Mutex::default(),
            #[cfg(target_family = "wasm")]
            asking: futures_intrusive::sync::Mutex::new((), true),
            compiled: AtomicUsize::new(0),
            cache,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Variant, Arc<Pipeline>>> {
        // The map is never left half-changed, so a panic elsewhere while it was locked does no harm.
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of pipelines compiled so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none was compiled so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// How often the driver was asked to compile one, whatever came of it.
    #[must_use]
    pub fn compiled(&self) -> usize {
        self.compiled.load(Ordering::Relaxed)
    }

    /// The pipeline of `variant`, if it was compiled.
    pub(super) fn get(&self, variant: Variant) -> Option<Arc<Pipeline>> {
        self.lock().get(&variant).cloned()
    }

    /// Compiles those of `variants` that weren't compiled before. wgpu has no asynchronous pipeline creation, so this
    /// may block for the time the driver takes. A refused pipeline is not kept, so that the next try may succeed.
    pub(super) async fn compile(&self, device: &wgpu::Device, variants: impl Iterator<Item = Variant>) -> Result<()> {
        let missing: BTreeSet<Variant> = variants.filter(|&variant| self.get(variant).is_none()).collect();
        if missing.is_empty() {
            return check_there(device, "pipelines that are there").await;
        }
        #[cfg(target_family = "wasm")]
        let _asking = self.asking.lock().await;
        let mut refused = None;
        let mut answered = |variant: Variant, pipeline: Result<Pipeline>| match pipeline {
            Ok(pipeline) => drop(self.lock().insert(variant, Arc::new(pipeline))),
            Err(Error::Device(message)) => {
                refused.get_or_insert(Error::Shader { kernel: variant.name(), message });
            }
            Err(error) => drop(refused.get_or_insert(error)),
        };
        // Answers take a while in a browser, so all pipelines are asked for before the first answer is awaited.
        // Elsewhere each answer is there at once, and is kept before another thread asks for the same.
        let mut later = Vec::new();
        {
            let _alone = self.compiling.lock().unwrap_or_else(PoisonError::into_inner);
            // Another thread may have compiled it meanwhile.
            for variant in missing.into_iter().filter(|&variant| self.get(variant).is_none()) {
                self.compiled.fetch_add(1, Ordering::Relaxed);
                let cache = self.cache.as_ref();
                let making = Making::new(variant.name(), 0);
                let (pipeline, caught) = scoped(device, making, move || compile(device, variant, cache));
                let mut caught = Box::pin(caught);
                match caught.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(caught) => answered(variant, caught.and(pipeline)),
                    Poll::Pending => later.push((variant, pipeline, caught)),
                }
            }
        }
        for (variant, pipeline, caught) in later {
            answered(variant, caught.await.and(pipeline));
        }
        refused.map_or(Ok(()), Err)
    }
}

#[expect(unsafe_code, reason = "loops are not bounded by force; all of them end")]
fn compile(device: &wgpu::Device, variant: Variant, cache: Option<&wgpu::PipelineCache>) -> Result<Pipeline> {
    let info = variant.info();
    let label = format!("locally-connected {}", variant.name());
    let label = Some(label.as_str());
    let checks = wgpu::ShaderRuntimeChecks { force_loop_bounding: false, ..wgpu::ShaderRuntimeChecks::checked() };
    let Shader { wgsl, uniform } = variant.shader()?;
    let source = wgpu::ShaderSource::Wgsl(wgsl.into());
    // SAFETY: bounds checks stay on; only the bounding of loops is off. Every loop of every kernel counts up to a
    // uniform that the planner wrote or to the end of a tap table, or halves a constant, so all of them end. A forced
    // bound costs the register kernels registers and, by RADV's estimate, 5 to 20 % (docs/performance.md).
    let module = unsafe { device.create_shader_module_trusted(wgpu::ShaderModuleDescriptor { label, source }, checks) };
    let entry = |binding, ty, has_dynamic_offset, min_binding_size| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size },
        count: None,
    };
    let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform, true, NonZeroU64::new(uniform.size()))];
    for (access, binding) in info.bindings.iter().zip(1..) {
        let read_only = *access == Access::Read;
        entries.push(entry(binding, wgpu::BufferBindingType::Storage { read_only }, false, None));
    }
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label,
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label,
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some("main"),
        // Every kernel writes its workgroup memory before reading it (tests/determinism.rs runs them all).
        compilation_options: wgpu::PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
        cache,
    });
    Ok(Pipeline { layout, pipeline, uniform })
}
