// y[o] = weight / divisor where row o's largest prediction is at the place of its largest target, or with SPARSE at the
// place that its target says; else 0. Each row has a workgroup, each sample `parts` rows.
#import shared/join_all with f32 = u32
#import shared/place_of_largest with values = p
#import shared/workgroups
#if SPARSE == 0u
#import shared/place_of_largest with values = t
#end

@group(0) @binding(1) var<storage, read> p: array<f32>;        // [count][row]
@group(0) @binding(2) var<storage, read> t: array<f32>;        // as p, or [count] with SPARSE
@group(0) @binding(3) var<storage, read> weight: array<f32>;   // [count / parts]; p where there are no weights
@group(0) @binding(4) var<storage, read_write> y: array<f32>;  // [count]

fn compute(o: u32, lane: u32) {
  let place = place_of_largest_in_p(params.x_base + o * params.row, lane);
#if SPARSE == 1u
  let hit = f32(place) == t[params.w_base + o];
#else
  let hit = place == place_of_largest_in_t(params.w_base + o * params.row, lane);
#end
  if (lane == 0u) {
    let factor = select(1.0, weight[params.b_base + o / params.parts], params.use_scale == 1u);
    y[params.y_base + o] = factor * (select(0.0, 1.0, hit) / params.divisor);
  }
}
