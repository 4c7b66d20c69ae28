//! Programs to plans for a page's device.

use crate::error::{Result, of_library, thrown};
use crate::program::Program;
use locally_connected::kernels::Access;
use locally_connected::plan::{Planner, Strategy, WrittenPlan, WrittenType, WrittenUsage};
use locally_connected::{DeviceProfile, Form, PlanOptions};
use std::fmt::Write as _;
use wasm_bindgen::prelude::wasm_bindgen;

/// A `GPUDevice` as the planner sees it: WebGPU's default limits until others are set.
#[wasm_bindgen]
pub struct Device {
    profile: DeviceProfile,
    options: PlanOptions,
}

#[wasm_bindgen]
impl Device {
    /// `is_cpu` chooses the kernels that pay where a processor plays a GPU.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new(is_cpu: bool) -> Self {
        let strategy = if is_cpu { Strategy::CPU } else { Strategy::GPU };
        let profile = DeviceProfile { is_cpu, strategy, ..DeviceProfile::webgpu_defaults() };
        Self { profile, options: PlanOptions::default() }
    }

    /// Sets the limit of WebGPU's name. Others don't matter here.
    ///
    /// # Errors
    /// For a name that does neither.
    #[wasm_bindgen(js_name = setLimit)]
    pub fn set_limit(&mut self, name: &str, value: f64) -> Result<()> {
        let profile = &mut self.profile;
        match name {
            "maxStorageBufferBindingSize" => profile.max_binding = value as u64,
            "maxBufferSize" => profile.max_buffer = value as u64,
            "maxComputeWorkgroupsPerDimension" => profile.max_workgroups = value as u32,
            "minStorageBufferOffsetAlignment" => profile.storage_alignment = value as u32,
            "minUniformBufferOffsetAlignment" => profile.uniform_alignment = value as u32,
            "maxComputeWorkgroupStorageSize" => profile.max_workgroup_memory = value as u32,
            "maxComputeInvocationsPerWorkgroup" => profile.max_workgroup_size = value as u32,
            "maxComputeWorkgroupSizeX" => profile.max_workgroup_width = value as u32,
            "maxStorageBuffersPerShaderStage" => profile.max_storage_buffers = value as u32,
            "maxUniformBufferBindingSize" => profile.max_uniform_binding = value as u64,
            // Ours: turns of a thread's loops after which a driver ends them.
            "maxIterations" => profile.max_iterations = value as u64,
            _ => return Err(thrown("internal", format!("no limit {name}"))),
        }
        Ok(())
    }

    /// Most bytes of scratch memory.
    #[wasm_bindgen(js_name = setMemoryBudget)]
    pub fn set_memory_budget(&mut self, bytes: f64) {
        self.options.memory_budget = Some(bytes as u64);
    }

    /// Takes one form of the kernels wherever there is one of it: `register`, `split` or `tiled`.
    ///
    /// # Errors
    /// For another name.
    #[wasm_bindgen(js_name = setForm)]
    pub fn set_form(&mut self, form: &str) -> Result<()> {
        self.options.form = Some(match form {
            "register" => Form::Register,
            "split" => Form::Split,
            "tiled" => Form::Tiled,
            _ => {
                return Err(thrown(
                    "argument",
                    format!("`form` must be one of register, split, tiled, but is \"{form}\""),
                ));
            }
        });
        Ok(())
    }

    /// How many samples of a program fit the device's buffers and about so many bytes at once.
    ///
    /// # Errors
    /// Where not even one fits.
    #[wasm_bindgen(js_name = samplesAtOnce)]
    pub fn samples_at_once(&self, program: &Program, bytes: f64) -> Result<u32> {
        let at_once = self.profile.samples_at_once(&program.program, bytes as u64);
        at_once.map(|samples| samples as u32).map_err(of_library)
    }

    /// How the device does a program for `batch` samples.
    ///
    /// # Errors
    /// The planner's.
    pub fn plan(&self, program: &Program, batch: u32) -> Result<Plan> {
        let program = &program.program;
        let planner = Planner::new(&self.profile).with_options(self.options);
        let planned = planner.program(program, batch).map_err(of_library)?;
        Ok(Plan { written: planned.written(program).map_err(of_library)? })
    }
}

/// A program's plan.
#[wasm_bindgen]
pub struct Plan {
    written: WrittenPlan,
}

#[wasm_bindgen]
impl Plan {
    /// The plan as serde would write it (`web/src/plan.ts`), without the constants' words.
    #[must_use]
    pub fn json(&self) -> String {
        let mut json = Json::default();
        let WrittenPlan { version, batch, buffers, shaders, dispatches } = &self.written;
        json.object(|json| {
            json.number("version", (*version).into());
            json.number("batch", (*batch).into());
            json.list("buffers", buffers, |json, buffer| {
                json.string("name", &buffer.name);
                json.string("usage", usage(buffer.usage));
                json.string("dtype", dtype(buffer.dtype));
                json.number("elements", buffer.elements);
                json.number("bytes", buffer.bytes);
                if let Some(part) = buffer.part {
                    json.key("part");
                    json.object(|json| {
                        json.number("first_entry", part.first_entry);
                        json.number("entries", part.entries);
                        json.number("first_filter", part.first_filter.into());
                        json.number("filters", part.filters.into());
                        json.number("all_filters", part.all_filters);
                    });
                }
            });
            json.list("shaders", shaders, |json, shader| {
                json.string("name", &shader.name);
                json.string("wgsl", &shader.wgsl);
                json.string("entry_point", &shader.entry_point);
                json.key("bindings");
                json.array(&shader.bindings, |json, access| {
                    json.text(match access {
                        Access::Read => "read",
                        Access::Write => "write",
                    });
                });
            });
            json.list("dispatches", dispatches, |json, dispatch| {
                json.number("shader", dispatch.shader.into());
                json.numbers("uniform", &dispatch.uniform);
                json.list("bindings", &dispatch.bindings, |json, binding| {
                    json.number("buffer", binding.buffer.into());
                    json.number("offset", binding.offset);
                    json.number("size", binding.size);
                });
                json.numbers("workgroups", &dispatch.workgroups);
            });
        });
        json.text
    }

    /// The words of the buffer at this place; none for what is no constant.
    #[must_use]
    pub fn words(&self, buffer: usize) -> Vec<u32> {
        self.written.buffers.get(buffer).map(|buffer| buffer.words.clone()).unwrap_or_default()
    }
}

fn usage(usage: WrittenUsage) -> &'static str {
    match usage {
        WrittenUsage::Input => "input",
        WrittenUsage::Output => "output",
        WrittenUsage::Parameter => "parameter",
        WrittenUsage::State => "state",
        WrittenUsage::Gradient => "gradient",
        WrittenUsage::Scratch => "scratch",
        WrittenUsage::Constant => "constant",
    }
}

fn dtype(dtype: WrittenType) -> &'static str {
    match dtype {
        WrittenType::F32 => "f32",
        WrittenType::F16 => "f16",
        WrittenType::U32 => "u32",
    }
}

/// JSON of names, texts and whole numbers while it is written.
#[derive(Default)]
struct Json {
    text: String,
}

impl Json {
    /// A comma, unless something opens before.
    fn next(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with(['{', '[', ':', ',']) {
            self.text.push(',');
        }
    }

    fn text(&mut self, text: &str) {
        self.next();
        self.text.push('"');
        for letter in text.chars() {
            match letter {
                '\n' => self.text.push_str("\\n"),
                '"' | '\\' => self.text.extend(['\\', letter]),
                letter if letter < ' ' => self.text.push(' '),
                letter => self.text.push(letter),
            }
        }
        self.text.push('"');
    }

    fn key(&mut self, name: &str) {
        self.text(name);
        self.text.push(':');
    }

    fn string(&mut self, name: &str, value: &str) {
        self.key(name);
        self.text(value);
    }

    fn number(&mut self, name: &str, value: u64) {
        self.key(name);
        // Writing to a string can't fail.
        let _ = write!(self.text, "{value}");
    }

    fn numbers(&mut self, name: &str, values: &[u32]) {
        self.key(name);
        self.array(values, |json, value| {
            json.next();
            let _ = write!(json.text, "{value}");
        });
    }

    fn array<T>(&mut self, values: &[T], each: impl Fn(&mut Self, &T)) {
        self.next();
        self.text.push('[');
        values.iter().for_each(|value| each(self, value));
        self.text.push(']');
    }

    fn object(&mut self, fields: impl FnOnce(&mut Self)) {
        self.next();
        self.text.push('{');
        fields(self);
        self.text.push('}');
    }

    fn list<T>(&mut self, name: &str, values: &[T], each: impl Fn(&mut Self, &T)) {
        self.key(name);
        self.array(values, |json, value| json.object(|json| each(json, value)));
    }
}
