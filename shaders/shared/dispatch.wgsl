const NO_TAP = 0xffffffffu;

// The index of this workgroup in a dispatch folded over x and y; at or over params.workgroups there is no work.
fn workgroup_index(id: vec3<u32>) -> u32 {
  return id.y * params.workgroups_x + id.x;
}
