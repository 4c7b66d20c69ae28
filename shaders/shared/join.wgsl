// Joins values of a workgroup's threads by a tree in a fixed order. The kernel says how many values a thread joins at a
// time (AT_ONCE) and of which type (Value). THREADS is a power of two.
alias Values = array<Value, AT_ONCE>;

var<workgroup> partial: array<Value, AT_ONCE * THREADS / 2u>;

// Joins the values of `count` threads that stand `apart` from each other to their sum or their largest, which the first
// of them gets. All threads of the workgroup must call it.
fn join(values: ptr<function, Values>, lane: u32, count: u32, apart: u32, largest: bool) {
  let place = lane / apart % count;
  let beside = lane / (apart * count) * apart * (count / 2u) + lane % apart;
  for (var half = count / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (place >= half && place < 2u * half) {
      let to = beside + (place - half) * apart;
      #unroll for (var i = 0u; i < AT_ONCE; i++) {
        partial[i * (THREADS / 2u) + to] = (*values)[i];
      }
    }
    workgroupBarrier();
    if (place < half) {
      let from_other = beside + place * apart;
      #unroll for (var i = 0u; i < AT_ONCE; i++) {
        let other = partial[i * (THREADS / 2u) + from_other];
        (*values)[i] = select((*values)[i] + other, max((*values)[i], other), largest);
      }
    }
  }
}
