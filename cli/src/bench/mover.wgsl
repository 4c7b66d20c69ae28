// Reads, writes or copies memory, to measure the rates at which the device does that. Neighbouring threads always
// access neighbouring units, and a thread has several loads or stores in flight at once. The line that begins with
// `//!` is replaced by them.

alias Unit = UNIT;

@group(0) @binding(0) var<storage, read> source: array<Unit>;
@group(0) @binding(1) var<storage, read_write> written: array<Unit>;

const THREADS = 256u;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = (group.x + group.y * groups.x) * (EACH * THREADS) + lane;
    //!body
}
