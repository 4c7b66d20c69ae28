// dw[p, k, f] = sum over n of x[n, window(p, k)] * dz[n, p, f]; 0 where the tap lies outside the input.
#import shared/accumulate with results = dw, Stored = Unit
#import shared/window_gradient

@group(0) @binding(1) var<storage, read> x: array<Input>;        // input samples
@group(0) @binding(2) var<storage, read> dz: array<Unit>;        // output samples
@group(0) @binding(3) var<storage, read> tables: array<u32>;     // tap tables
@group(0) @binding(4) var<storage, read_write> dw: array<Unit>;  // [cells][window][filters]

fn store(at: u32, sum: Unit) {
  accumulate(at, sum);
}
