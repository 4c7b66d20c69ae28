// The host's own: what the layer is to learn from, how its weights take a step, and what its filters look like.

struct Step {
  rate: f32,
  count: u32,
}

@group(0) @binding(0) var<uniform> update: Step;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

// The gradient of half the mean square error by the output: c = (a - b) * rate.
@compute @workgroup_size(64)
fn error(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < update.count) {
    c[id.x] = (a[id.x] - b[id.x]) * update.rate;
  }
}

@group(0) @binding(4) var<storage, read> gradient: array<f32>;
@group(0) @binding(5) var<storage, read_write> weights: array<f32>;

// weights -= gradient * rate
@compute @workgroup_size(64)
fn descend(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < update.count) {
    weights[id.x] -= gradient[id.x] * update.rate;
  }
}

struct Mosaic {
  side: u32,
  window: u32,
  // Pixels of a weight.
  zoom: u32,
  brightness: f32,
}

@group(0) @binding(6) var<uniform> mosaic: Mosaic;
@group(0) @binding(7) var<storage, read> filters: array<f32>;

@vertex
fn corner(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
  let at = vec2(f32(index & 1u), f32(index >> 1u)) * 4.0 - 1.0;
  return vec4(at, 0.0, 1.0);
}

// Every location's filter where the location lies: weights above zero are warm, those below cold.
@fragment
fn colour(@builtin(position) at: vec4<f32>) -> @location(0) vec4<f32> {
  let weight = vec2<u32>(at.xy) / mosaic.zoom;
  let location = weight / (mosaic.window + 1u);
  let tap = weight % (mosaic.window + 1u);
  if (any(tap >= vec2(mosaic.window)) || any(location >= vec2(mosaic.side))) {
    return vec4(0.16, 0.17, 0.19, 1.0);
  }
  let taps = mosaic.window * mosaic.window;
  let value = filters[(location.y * mosaic.side + location.x) * taps + tap.y * mosaic.window + tap.x];
  let strength = clamp(abs(value) * mosaic.brightness, 0.0, 1.0);
  let warm = vec3(1.0, 0.72, 0.25);
  let cold = vec3(0.25, 0.6, 1.0);
  return vec4(mix(vec3(0.05), select(cold, warm, value > 0.0), strength), 1.0);
}
