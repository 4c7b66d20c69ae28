//! The choice between the implementations: possible, forced, tuned, modelled; and the limits a host asks for.

use crate::common::{FORWARD, GPU, Operands, assert_near, chunks};
use locally_connected::geometry::SparseIndex;
use locally_connected::headless::GpuOptions;
use locally_connected::kernels::tap_tables_length;
use locally_connected::model::{layer_backward, layer_forward};
use locally_connected::ops::Operation;
use locally_connected::plan::Planner;
use locally_connected::{
    Config, DeviceProfile, Error, Form, Geometry, Implementation, LocallyConnected, Padding, TunedChoice,
};
use locally_connected::{
    Gradients, Measurement, PlanOptions, Roof, TuneKey, TuneOptions, TuneTable, Tuned, TunedOperation, required_limits,
    tune, wgpu,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The planner of WebGPU's default limits.
fn with_planner<T>(options: PlanOptions, tuned: Option<&TuneTable>, use_it: impl FnOnce(Planner<'_>) -> T) -> T {
    let profile = DeviceProfile::webgpu_defaults();
    use_it(Planner::new(&profile).with_options(options).with_tuned(tuned))
}

/// A layer's forward pass as an operation.
fn forward(geometry: &Geometry, implementation: impl Into<Option<Implementation>>) -> Operation {
    layer_forward(&Arc::new(geometry.with_implementation(implementation)), false).operations.remove(0)
}

fn deepface_l4() -> Geometry {
    Geometry::new(&Config::new(16, [9, 9]), &[63, 63, 16]).expect("fits")
}

/// Implementation 2 of DeepFace's L4 needs a matrix of 12.3 GB: refused with the bytes, by arithmetic alone.
#[test]
fn dense_on_deepface_l4_is_refused_with_the_bytes() {
    with_planner(PlanOptions::default(), None, |planner| {
        let refused = planner.plan(&forward(&deepface_l4(), Implementation::DenseMatmul), 1);
        let needed = 4 * 63 * 63 * 16 * 55 * 55 * 16;
        assert!(matches!(refused, Err(Error::OverBudget { needed: found, .. }) if found == needed), "{refused:?}");
        let message = refused.expect_err("over every budget").to_string();
        assert!(message.contains("12294374400 bytes (12.3 GB)"), "{message}");
        let chosen = planner.plan(&forward(&deepface_l4(), None), 1).expect("loop is possible");
        assert_ne!(chosen.implementation, Some(Implementation::DenseMatmul));
    });
}

#[test]
fn the_callers_budget_holds() {
    let geometry = Geometry::new(&Config::new(8, [3, 3]), &[8, 8, 3]).expect("fits");
    let bytes = 4 * geometry.inputs() * geometry.outputs();
    for (budget, possible) in [(bytes, true), (bytes - 1, false)] {
        let options = PlanOptions { memory_budget: Some(budget), ..PlanOptions::default() };
        with_planner(options, None, |planner| {
            let plan = planner.plan(&forward(&geometry, Implementation::DenseMatmul), 4);
            assert_eq!(plan.is_ok(), possible, "{plan:?}");
        });
    }
}

#[test]
fn forced_goes_before_tuned_before_model() {
    let geometry = Geometry::new(&Config::new(8, [3, 3]), &[8, 8, 3]).expect("fits");
    let mut table = TuneTable::default();
    let profile = DeviceProfile::webgpu_defaults();
    let sparse = TunedChoice { implementation: Implementation::SparseGather, form: None };
    let key = |batch| TuneKey::new(&profile, &forward(&geometry, None), batch).expect("it has a choice");
    table.insert(key(4), sparse);
    with_planner(PlanOptions::default(), Some(&table), |planner| {
        let chosen = |implementation, batch| {
            let plan = planner.plan(&forward(&geometry, implementation), batch).expect("possible");
            plan.implementation.expect("one of several")
        };
        assert_eq!(chosen(Some(Implementation::DenseMatmul), 4), Implementation::DenseMatmul);
        assert_eq!(chosen(None, 4), Implementation::SparseGather);
        // Another batch was not measured, so the model decides, by the least estimate.
        let estimates = planner.estimates(&forward(&geometry, None), 5);
        let seconds = |of: &Implementation| {
            let (_, estimate) = estimates.iter().find(|(implementation, _)| implementation == of).expect("listed");
            estimate.as_ref().expect("possible").seconds
        };
        let auto = chosen(None, 5);
        assert!(Implementation::ALL.iter().all(|other| seconds(&auto) <= seconds(other)));
    });
}

/// Each form of loop's kernels, asked for or tuned, is the one that is planned; asked for goes before tuned.
#[test]
fn forms_are_taken_where_there_is_a_kernel_of_them() {
    let geometry = Geometry::new(&Config::new(8, [3, 3]), &[8, 8, 4]).expect("fits");
    let profile = DeviceProfile::webgpu_defaults();
    let kernel = |form, tuned: Option<&TuneTable>| {
        let options = PlanOptions { form, ..PlanOptions::default() };
        with_planner(options, tuned, |planner| {
            let plan = planner.plan(&forward(&geometry, None), 32).expect("possible");
            plan.dispatches[0].variant.info().name
        })
    };
    for (form, expected) in
        [(Form::Register, "loop_forward"), (Form::Split, "loop_forward_split"), (Form::Tiled, "loop_forward_tiled")]
    {
        let mut table = TuneTable::default();
        let choice = TunedChoice { implementation: Implementation::Loop, form: Some(form) };
        let key = TuneKey::new(&profile, &forward(&geometry, None), 32).expect("it has a choice");
        table.insert(key, choice);
        assert_eq!(kernel(None, Some(&table)), expected);
        assert_eq!(kernel(Some(Form::Register), Some(&table)), "loop_forward");
    }
}

/// Tables survive serialisation, and what was tuned runs and is right.
#[test]
fn tuning_measures_every_possible_implementation() {
    let config = Config::new(8, [3]).padding(Padding::Same);
    let geometry = Geometry::new(&config, &[40, 4]).expect("fits");
    let options = TuneOptions { repetitions: 2, roof: None };
    let Tuned { table, measured, ended } =
        pollster::block_on(GPU.drive(tune(GPU.context(), &geometry, 3, options))).expect("all three are possible");
    assert_eq!(ended, []);
    let forms: BTreeSet<_> =
        measured.iter().map(|m| (m.operation, m.choice.implementation.name(), m.choice.form)).collect();
    assert_eq!(forms.len(), measured.len(), "something was measured twice");
    for operation in TunedOperation::ALL {
        let of = |form| measured.iter().filter(|m| m.operation == operation && m.choice.form == form).count();
        assert_eq!(of(None), 2, "dense and sparse");
        // A form for which the layer has no kernel is another's.
        assert_eq!(of(Some(Form::Register)) + of(Some(Form::Split)) + of(Some(Form::Tiled)), 3);
    }
    assert!(measured.iter().all(|measurement| measurement.seconds > 0.0));
    let text = serde_json::to_string(&table).expect("serialisable");
    let read: TuneTable = serde_json::from_str(&text).expect("what was written");
    assert_eq!(read, table);
    let key = TuneKey::new(GPU.context().profile(), &forward(&geometry, None), 3);
    let best = table.get(&key.expect("it has a choice")).expect("measured");
    let operands = Operands::random(&geometry, 3, 1);
    let output = pollster::block_on(async {
        let mut layer = LocallyConnected::with_geometry(GPU.context(), geometry.clone()).await.expect("built");
        layer.set_tuned(Arc::new(table));
        let plan = layer.plan_forward(3, false).expect("possible");
        assert_eq!(plan.plans[0].implementation, Some(best.implementation));
        layer.write_canonical(&operands.weights).await.expect("its length");
        layer.write_bias(&operands.bias).await.expect("its length");
        GPU.forward(&layer, &operands.input).await.expect("runs")
    });
    assert_near("output", &output, &operands.reference(&geometry).output, FORWARD);
}

/// A roof that any choice reaches ends each search at the planner's own choice, one that none reaches ends none; what was spared and
/// what was measured are all that there are.
#[test]
fn a_choice_that_is_near_the_roof_ends_the_search() {
    let config = Config::new(8, [3]).padding(Padding::Same);
    let geometry = Geometry::new(&config, &[40, 4]).expect("fits");
    let tuned = |roof| {
        let options = TuneOptions { repetitions: 1, roof };
        pollster::block_on(GPU.drive(tune(GPU.context(), &geometry, 3, options))).expect("possible")
    };
    let roof = |rate| Some(Roof { bytes_per_second: rate, flops_per_second: rate });
    let all = tuned(None);
    let high = tuned(roof(1e18));
    assert_eq!((high.measured.len(), &high.ended), (all.measured.len(), &Vec::new()));
    let low = tuned(roof(1.0));
    assert_eq!((low.measured.len(), low.ended.len(), low.table.len()), (3, 3, 3));
    for (end, operation) in low.ended.iter().zip(TunedOperation::ALL) {
        assert!(end.operation == operation && end.of_roof >= TuneOptions::ENOUGH);
        let of = |measured: &[Measurement]| measured.iter().filter(|m| m.operation == operation).count();
        assert_eq!(end.spared.len() + of(&low.measured), of(&all.measured), "{operation:?}");
    }
    let own = with_own(None, &geometry);
    assert_eq!(with_own(Some(&low.table), &geometry), own, "the first that is tried is the planner's own");
    let seconds = Roof { bytes_per_second: 10.0, flops_per_second: 100.0 }.seconds(20, 100);
    assert_eq!(seconds, 2.0);
}

/// The plans of all three operations for 3 samples on this adapter.
fn with_own(tuned: Option<&TuneTable>, geometry: &Geometry) -> String {
    let layer = Arc::new(geometry.clone());
    let planner = Planner::new(GPU.context().profile()).with_tuned(tuned);
    let programs = [layer_forward(&layer, false), layer_backward(&layer, Gradients::ALL)];
    let plans = programs.iter().flat_map(|program| planner.program(program, 3).expect("possible").plans);
    let named = |plan: locally_connected::plan::Plan| {
        let kernels: Vec<String> = plan.dispatches.iter().map(|dispatch| dispatch.variant.name()).collect();
        format!("{:?} {kernels:?}", plan.implementation)
    };
    plans.map(named).collect::<Vec<_>>().join("; ")
}

/// A process that has nothing of this one's but the table's file plans what this one does, which isn't what it would plan without.
#[test]
fn a_table_makes_the_same_choices_in_a_fresh_process() {
    const TABLE: &str = "LOCALLY_TUNE_TABLE";
    const SAID: &str = "planned: ";
    let config = Config::new(8, [3]).padding(Padding::Same);
    let geometry = Geometry::new(&config, &[40, 4]).expect("fits");
    if let Ok(path) = std::env::var(TABLE) {
        let table = serde_json::from_str(&std::fs::read_to_string(path).expect("a file")).expect("a table");
        println!("{SAID}{}", with_own(Some(&table), &geometry));
        return;
    }
    let options = TuneOptions { repetitions: 1, roof: None };
    let tuned = pollster::block_on(GPU.drive(tune(GPU.context(), &geometry, 3, options))).expect("possible");
    let own = with_own(None, &geometry);
    // A choice that the planner would not make by itself, so that a table that isn't read shows.
    let mut table = tuned.table;
    let layer = Arc::new(geometry.clone());
    let forward = &layer_forward(&layer, false).operations[0];
    let other = [Implementation::DenseMatmul, Implementation::SparseGather].into_iter().find(|other| {
        let plan = Planner::new(GPU.context().profile()).plan(forward, 3).expect("possible");
        plan.implementation != Some(*other)
    });
    let key = TuneKey::new(GPU.context().profile(), forward, 3).expect("it has a choice");
    table.insert(key, TunedChoice { implementation: other.expect("one of two"), form: None });
    let here = with_own(Some(&table), &geometry);
    assert_ne!(here, own);
    let path = std::env::temp_dir().join(format!("locally-tune-table-{}.json", std::process::id()));
    std::fs::write(&path, serde_json::to_string(&table).expect("serialisable")).expect("a file");
    let mut process = std::process::Command::new(std::env::current_exe().expect("this program"));
    process.args(["--exact", "choice::a_table_makes_the_same_choices_in_a_fresh_process", "--nocapture"]);
    let output = process.env(TABLE, &path).output().expect("a process");
    std::fs::remove_file(&path).expect("it was there");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let planned = said.lines().find_map(|line| line.split_once(SAID)).map(|(_, planned)| planned);
    assert_eq!(planned, Some(here.as_str()), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// With the limits asked for, L4's 251 MB are one chunk; a host that asks for nothing gets two.
#[test]
fn required_limits_avoid_chunking() {
    let geometry = deepface_l4();
    let adapter =
        wgpu::Limits { max_storage_buffer_binding_size: 1 << 30, max_buffer_size: 1 << 30, ..wgpu::Limits::defaults() };
    let limits = required_limits(wgpu::Limits::default(), [(&geometry, 1)], &adapter);
    assert!(limits.max_storage_buffer_binding_size >= 4 * geometry.weights());
    assert!(limits.max_storage_buffer_binding_size < 1 << 30, "no more than needed");
    let mut profile = DeviceProfile::webgpu_defaults();
    assert_eq!(chunks(&geometry, &profile).expect("cut").len(), 2);
    (profile.max_binding, profile.max_buffer) = (limits.max_storage_buffer_binding_size, limits.max_buffer_size);
    assert_eq!(chunks(&geometry, &profile).expect("whole").len(), 1);
    // Never more than the adapter has: this one's device can be made.
    let real = required_limits(wgpu::Limits::default(), [(&geometry, 1)], &GPU.adapter().limits());
    let options = GpuOptions { limits: Some(real), ..GpuOptions::default() };
    assert!(pollster::block_on(locally_connected::headless::Gpu::with_options(&options)).is_ok());
}

/// Limits of several layers and the host's own: none is lowered, none is over what the adapter has or what some layer needs,
/// and what the adapter could hold whole is whole.
#[test]
fn required_limits_are_merged_and_never_too_many() {
    let small = wgpu::Limits {
        max_storage_buffer_binding_size: 1 << 10,
        max_buffer_size: 1 << 11,
        max_storage_buffers_per_shader_stage: 4,
        max_compute_invocations_per_workgroup: 32,
        ..wgpu::Limits::downlevel_defaults()
    };
    let layers = [
        Geometry::new(&Config::new(5, [3]), &[40, 3]).expect("a layer"),
        Geometry::new(&Config::new(2, [2, 2]).implementation(Implementation::SparseGather), &[9, 9, 1])
            .expect("a layer"),
        Geometry::new(&Config::new(1, [1]), &[3, 1]).expect("a layer"),
    ];
    let needs = |(layer, batch): (&Geometry, u32)| {
        let samples = u64::from(batch) * layer.inputs().max(layer.outputs());
        let index = layer.config().implementation.map_or(0, |_| SparseIndex::len_of(layer));
        4 * layer.weights().max(samples).max(index).max(tap_tables_length(layer))
    };
    for seed in 0..200u64 {
        let random = |salt: u64, most: u64| (seed * 7919 + salt * 104_729) * 2_654_435_761 % (1 << 31) % most;
        let wanted = || layers.iter().zip([1, 2, 3]).map(|(layer, salt)| (layer, random(salt, 40) as u32));
        let adapter = wgpu::Limits {
            max_storage_buffer_binding_size: 1024 + random(4, 30_000) / 4 * 4,
            max_buffer_size: 2048 + random(5, 60_000) / 4 * 4,
            max_storage_buffers_per_shader_stage: 4 + random(6, 5) as u32,
            max_compute_invocations_per_workgroup: 32 << random(7, 4),
            max_compute_workgroup_size_x: 32 << random(8, 4),
            ..wgpu::Limits::default()
        };
        let own = if seed % 3 == 0 { wgpu::Limits::default() } else { small.clone() };
        let limits = required_limits(own.clone(), wanted(), &adapter);
        let most = wanted().map(needs).max().expect("layers");
        let expected = wgpu::Limits {
            max_storage_buffer_binding_size: own
                .max_storage_buffer_binding_size
                .max(most.min(adapter.max_storage_buffer_binding_size)),
            max_buffer_size: own.max_buffer_size.max(most.min(adapter.max_buffer_size)),
            max_storage_buffers_per_shader_stage: own
                .max_storage_buffers_per_shader_stage
                .max(5.min(adapter.max_storage_buffers_per_shader_stage)),
            max_compute_invocations_per_workgroup: own
                .max_compute_invocations_per_workgroup
                .max(64.min(adapter.max_compute_invocations_per_workgroup)),
            max_compute_workgroup_size_x: own
                .max_compute_workgroup_size_x
                .max(64.min(adapter.max_compute_workgroup_size_x)),
            ..own.clone()
        };
        assert_eq!(limits, expected, "seed {seed}");
        let reversed = required_limits(own.clone(), wanted().collect::<Vec<_>>().into_iter().rev(), &adapter);
        assert_eq!(limits, reversed, "the order of layers");
        assert_eq!(required_limits(own.clone(), [], &adapter), own, "no layer");
        for layer in &layers {
            let piece = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
            let profile = DeviceProfile { max_binding: piece, max_buffer: piece, ..DeviceProfile::webgpu_defaults() };
            let whole = 4 * layer.weights() <= adapter.max_storage_buffer_binding_size.min(adapter.max_buffer_size);
            assert!(!whole || chunks(layer, &profile).expect("cut").len() == 1, "seed {seed}: a layer is cut");
        }
    }
}
