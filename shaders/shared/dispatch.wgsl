const NO_TAP = 0xffffffffu;

// The index of this workgroup in a dispatch folded over x and y, which may be but a part of the work; at or over
// params.workgroups there is none.
fn workgroup_index(id: vec3<u32>) -> u32 {
  return params.first_workgroup + id.y * params.workgroups_x + id.x;
}
