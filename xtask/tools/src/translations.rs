//! Every shader variant as each of wgpu's backends gives it to a driver's compiler, looked at by compilers that can be had
//! anywhere: `translations DIR [NAME…]`, for `cargo xtask translations`. Writes the texts into DIR and prints a table of what was
//! compiled by what; ends in failure where anything is refused, or has what drivers stumble over (docs/backends.md).

#![forbid(unsafe_code)]
#![expect(clippy::expect_used, clippy::panic, reason = "a tool of the developers', which may stop where it stands")]

use locally_connected::kernels::variants;
use naga::back::{glsl, hlsl, msl, spv, wgsl};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{Module, ShaderStage};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A backend's language, and who compiles it here.
struct Target {
    name: &'static str,
    ending: &'static str,
    translate: fn(&Module, &ModuleInfo) -> Vec<u8>,
    /// A program and its arguments, the file's name behind them.
    compiler: Option<&'static [&'static str]>,
}

const TARGETS: [Target; 11] = [
    Target {
        name: "SPIR-V 1.3 (Vulkan 1.1)",
        ending: "1.3.spv",
        translate: |module, info| spirv(module, info, ((1, 3), IN_THE_SHADER)),
        compiler: Some(&["spirv-val", "--target-env", "vulkan1.1"]),
    },
    Target {
        name: "SPIR-V 1.3 (robust buffers)",
        ending: "1.3-robust.spv",
        translate: |module, info| spirv(module, info, ((1, 3), BY_THE_DEVICE)),
        compiler: Some(&["spirv-val", "--target-env", "vulkan1.1"]),
    },
    Target {
        name: "SPIR-V 1.6 (Vulkan 1.3)",
        ending: "1.6.spv",
        translate: |module, info| spirv(module, info, ((1, 6), IN_THE_SHADER)),
        compiler: Some(&["spirv-val", "--target-env", "vulkan1.3"]),
    },
    Target {
        name: "SPIR-V 1.6 (robust buffers)",
        ending: "1.6-robust.spv",
        translate: |module, info| spirv(module, info, ((1, 6), BY_THE_DEVICE)),
        compiler: Some(&["spirv-val", "--target-env", "vulkan1.3"]),
    },
    Target { name: "MSL 2.0", ending: "2.0.metal", translate: |m, i| metal(m, i, (2, 0)), compiler: None },
    Target { name: "MSL 3.1", ending: "3.1.metal", translate: |m, i| metal(m, i, (3, 1)), compiler: None },
    Target {
        name: "HLSL 5.1 (FXC's)",
        ending: "5.1.hlsl",
        translate: |module, info| direct3d(module, info, hlsl::ShaderModel::V5_1),
        compiler: Some(&["glslangValidator", "-D", "-V", "-S", "comp", "-e", "main", "-o", "/dev/null"]),
    },
    Target {
        name: "HLSL 6.0 (DXC's)",
        ending: "6.0.hlsl",
        translate: |module, info| direct3d(module, info, hlsl::ShaderModel::V6_0),
        compiler: Some(&["glslangValidator", "-D", "-V", "-S", "comp", "-e", "main", "-o", "/dev/null"]),
    },
    Target {
        name: "GLSL 4.30",
        ending: "430.glsl",
        translate: |module, info| opengl(module, info, glsl::Version::Desktop(430)),
        compiler: Some(&["glslangValidator", "-S", "comp"]),
    },
    Target {
        name: "GLSL ES 3.10",
        ending: "310.glsl",
        translate: |module, info| opengl(module, info, glsl::Version::new_gles(310)),
        compiler: Some(&["glslangValidator", "-S", "comp"]),
    },
    Target { name: "WGSL (browsers')", ending: "wgsl", translate: browser, compiler: None },
];

/// What naga 30 puts into loops that it bounds: a counter, which costs registers (ARCHITECTURE.md, Decisions).
const BOUNDED: &str = "loop_bound";
/// How each text would begin to zero workgroup memory, which costs pipelines their time.
const ZEROING: [&str; 3] = ["__local_invocation_id == ", "gl_LocalInvocationID == ", "if (all(__local_invocation_id"];

/// Who keeps accesses to buffers in their bounds: the shader, by the smaller of the index and the last; or the device.
const IN_THE_SHADER: BoundsCheckPolicy = BoundsCheckPolicy::Restrict;
const BY_THE_DEVICE: BoundsCheckPolicy = BoundsCheckPolicy::Unchecked;

fn policies(index: BoundsCheckPolicy, buffer: BoundsCheckPolicy) -> BoundsCheckPolicies {
    BoundsCheckPolicies { index, buffer, ..BoundsCheckPolicies::default() }
}

/// As wgpu-hal 30's `vulkan/adapter.rs` asks for it: buffers are left to the device where that has `robustBufferAccess2`.
fn spirv(module: &Module, info: &ModuleInfo, (lang_version, buffers): ((u8, u8), BoundsCheckPolicy)) -> Vec<u8> {
    let options = spv::Options {
        lang_version,
        flags: spv::WriterFlags::empty(),
        bounds_check_policies: policies(BoundsCheckPolicy::Restrict, buffers),
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        ..spv::Options::default()
    };
    let pipeline = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: "main".into() };
    let words = spv::write_vec(module, info, &options, Some(&pipeline)).expect("SPIR-V");
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// As `metal/device.rs` asks for it.
fn metal(module: &Module, info: &ModuleInfo, lang_version: (u8, u8)) -> Vec<u8> {
    let options = msl::Options {
        lang_version,
        bounds_check_policies: policies(BoundsCheckPolicy::Restrict, IN_THE_SHADER),
        zero_initialize_workgroup_memory: false,
        force_loop_bounding: false,
        ..msl::Options::default()
    };
    let (text, translated) = msl::write_string(module, info, &options, &msl::PipelineOptions::default()).expect("MSL");
    assert!(translated.entry_point_names.iter().all(Result::is_ok), "{:?}", translated.entry_point_names);
    text.into_bytes()
}

/// As `dx12/device.rs` asks for it.
fn direct3d(module: &Module, info: &ModuleInfo, shader_model: hlsl::ShaderModel) -> Vec<u8> {
    let options = hlsl::Options {
        shader_model,
        zero_initialize_workgroup_memory: false,
        restrict_indexing: true,
        force_loop_bounding: false,
        ..hlsl::Options::default()
    };
    let mut text = String::new();
    let pipeline = hlsl::PipelineOptions::default();
    let written = hlsl::Writer::new(&mut text, &options, &pipeline).write(module, info, None).expect("HLSL");
    assert!(written.entry_point_names.iter().all(Result::is_ok), "{:?}", written.entry_point_names);
    text.into_bytes()
}

/// As `gles/device.rs` asks for it: nothing is checked in the text.
fn opengl(module: &Module, info: &ModuleInfo, version: glsl::Version) -> Vec<u8> {
    let options = glsl::Options { version, zero_initialize_workgroup_memory: false, ..glsl::Options::default() };
    let pipeline =
        glsl::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: "main".into(), multiview: None };
    let mut text = String::new();
    let bounds = policies(BoundsCheckPolicy::Unchecked, BY_THE_DEVICE);
    glsl::Writer::new(&mut text, module, info, &options, &pipeline, bounds)
        .and_then(|mut writer| writer.write())
        .expect("GLSL");
    text.into_bytes()
}

/// WGSL again, which must be a module again.
fn browser(module: &Module, info: &ModuleInfo) -> Vec<u8> {
    let text = wgsl::write_string(module, info, wgsl::WriterFlags::empty()).expect("WGSL");
    let again = naga::front::wgsl::parse_str(&text).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&text)));
    validate(&again);
    text.into_bytes()
}

fn validate(module: &Module) -> ModuleInfo {
    let capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    Validator::new(ValidationFlags::all(), capabilities).validate(module).expect("it is valid")
}

/// What became of a target.
#[derive(Default, Clone)]
struct Count {
    translated: usize,
    bytes: u64,
    time: Duration,
    refused: Vec<String>,
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().expect("usage: translations DIR [NAME…]"));
    let names: Vec<String> = args.collect();
    fs::create_dir_all(&folder).expect("the folder can be made");
    let wanted = |name: &str| names.is_empty() || names.iter().any(|start| name.starts_with(start.as_str()));
    let waiting: Vec<_> = variants().into_iter().filter(|variant| wanted(&variant.name())).collect();
    let all = waiting.len();
    let (waiting, counts) = (Mutex::new(waiting), Mutex::new(vec![Count::default(); TARGETS.len()]));
    let work = || {
        loop {
            let Some(variant) = waiting.lock().expect("no panic").pop() else { return };
            let name = variant.name();
            let text = variant.shader().expect("marks that can be obeyed").wgsl;
            let module = naga::front::wgsl::parse_str(&text).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&text)));
            let info = validate(&module);
            for (at, target) in TARGETS.iter().enumerate() {
                let bytes = (target.translate)(&module, &info);
                let start = Instant::now();
                let refused = traps(&bytes).or_else(|| compile(target, &folder, &name, &bytes));
                let mut counts = counts.lock().expect("no panic");
                let count = &mut counts[at];
                count.translated += 1;
                count.bytes += bytes.len() as u64;
                count.time += start.elapsed();
                count.refused.extend(refused.map(|why| format!("{name} as {}: {why}", target.name)));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    report(all, &counts.into_inner().expect("no panic"))
}

fn report(all: usize, counts: &[Count]) -> ExitCode {
    println!("{all} variants");
    println!("| language | translated | MB | compiled by | refused | seconds |\n|---|---|---|---|---|---|");
    for (target, count) in TARGETS.iter().zip(counts) {
        let Count { translated, bytes, time, refused } = count;
        let by = target.compiler.map_or("–".into(), |words| words[..words.len().min(3)].join(" "));
        let (mega, seconds) = (*bytes as f64 / 1e6, time.as_secs_f64());
        println!("| {} | {translated} | {mega:.1} | {by} | {} | {seconds:.0} |", target.name, refused.len());
    }
    let refused: Vec<_> = counts.iter().flat_map(|count| &count.refused).collect();
    refused.iter().take(10).for_each(|why| eprintln!("{why}"));
    if refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What must not be in any text.
fn traps(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let mut found = ZEROING.into_iter().chain([BOUNDED]).filter(|trap| text.contains(trap));
    found.next().map(|trap| format!("has {trap:?}"))
}

/// naga makes zeroes of arrays by a cast, `(float[4])0`, which FXC and DXC take and glslang's front end doesn't know.
fn as_glslang_reads(target: &Target, bytes: &[u8]) -> Vec<u8> {
    if !target.ending.ends_with("hlsl") {
        return bytes.to_vec();
    }
    let text = String::from_utf8_lossy(bytes);
    let (mut lines, mut before) = (Vec::new(), "");
    for line in text.lines() {
        // Of arrays and structs; of vectors glslang takes it.
        let cast = line.strip_suffix(")0;").and_then(|line| line.rsplit_once('('));
        let cast = cast.filter(|(_, of)| of.contains('[') || of.starts_with(|first: char| first.is_uppercase()));
        lines.push(match cast {
            Some((start, _)) if start.trim() == "return" => {
                format!("    {} zeroes; return zeroes;", before.split(' ').next().unwrap_or_default())
            }
            Some((start, _)) => format!("{};", start.trim_end().trim_end_matches('=')),
            None => line.to_owned(),
        });
        before = line;
    }
    lines.join("\n").into_bytes()
}

/// What the compiler says, if it refuses. The file stays.
fn compile(target: &Target, folder: &Path, name: &str, bytes: &[u8]) -> Option<String> {
    let path = folder.join(format!("{name}.{}", target.ending));
    fs::write(&path, as_glslang_reads(target, bytes)).expect("the text can be written");
    let (program, arguments) = target.compiler?.split_first()?;
    let output = Command::new(program).args(arguments).arg(&path).output().expect("the compiler starts");
    if output.status.success() {
        return None;
    }
    let said = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&said).trim().chars().take(600).collect())
}
