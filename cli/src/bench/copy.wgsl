// Copies of a buffer: the rate at which the device reads and writes memory. Neighbouring threads always touch
// neighbouring vectors. The buffers are as long as the dispatch is wide.

@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> copied: array<vec4<f32>>;

const THREADS = 256u;

@compute @workgroup_size(THREADS)
fn one(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * THREADS + lane;
    copied[at] = source[at];
}

// Four loads in flight per thread.
@compute @workgroup_size(THREADS)
fn four(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * (4u * THREADS) + lane;
    let a = source[at];
    let b = source[at + THREADS];
    let c = source[at + 2u * THREADS];
    let d = source[at + 3u * THREADS];
    copied[at] = a;
    copied[at + THREADS] = b;
    copied[at + 2u * THREADS] = c;
    copied[at + 3u * THREADS] = d;
}
