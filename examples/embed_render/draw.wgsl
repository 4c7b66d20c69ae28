// The host's draw: a triangle over the whole picture, coloured by the values that a layer has left in a storage buffer.

@group(0) @binding(0) var<storage, read> heat: array<f32>;    // [SIDE][SIDE], 0 cold, 1 hot
@group(0) @binding(1) var<storage, read> palette: array<vec4<f32>>;

const SIDE: u32 = 256;
const PICTURE: f32 = 512;

@vertex
fn corner(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    return vec4(f32(index & 1u) * 4.0 - 1.0, f32(index >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

fn value(x: f32, y: f32) -> f32 {
    let most = f32(SIDE - 1u);
    return heat[u32(clamp(y, 0.0, most)) * SIDE + u32(clamp(x, 0.0, most))];
}

@fragment
fn colour(@builtin(position) pixel: vec4<f32>) -> @location(0) vec4<f32> {
    // Between the four nearest values.
    let at = pixel.xy / PICTURE * f32(SIDE) - 0.5;
    let low = floor(at);
    let part = at - low;
    let upper = mix(value(low.x, low.y), value(low.x + 1.0, low.y), part.x);
    let lower = mix(value(low.x, low.y + 1.0), value(low.x + 1.0, low.y + 1.0), part.x);
    let last = f32(arrayLength(&palette) - 1u);
    let place = clamp(mix(upper, lower, part.y), 0.0, 1.0) * last;
    let below = min(floor(place), last - 1.0);
    return mix(palette[u32(below)], palette[u32(below) + 1u], place - below);
}
