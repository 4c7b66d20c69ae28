const NO_TAP = 0xffffffffu;

// The index of this workgroup in a dispatch that was folded over x and y, and may be a part of a longer one. From
// params.workgroups on there is nothing to do.
fn workgroup_index(id: vec3<u32>) -> u32 {
  return params.first_workgroup + id.y * params.workgroups_x + id.x;
}
