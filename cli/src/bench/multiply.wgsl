// Chains of multiply-adds in registers, to measure the rate of f32 arithmetic. The chains don't depend on each other,
// which hides their latency, and their values stay normal numbers. The lines that begin with `//!` are replaced by
// declarations, multiply-adds and sums of as many chains as are tried.

alias Unit = UNIT;

@group(0) @binding(0) var<storage, read> parameters: array<f32, 3>;
@group(0) @binding(1) var<storage, read_write> sums: array<Unit>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) thread: vec3<u32>) {
    let factor = Unit(parameters[0]);
    let summand = Unit(parameters[1]);
    let turns = u32(parameters[2]);
    let start = Unit(f32(thread.x % 256u) * 0.001);
    //!declare
    for (var turn = 0u; turn < turns; turn++) {
        //!multiply
    }
    // Every chain is used, so that the compiler leaves none out.
    //!sum
}
