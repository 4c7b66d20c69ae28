//! Programs with their plans, held against a device's limits.

use locally_connected::kernels::Access;
use locally_connected::plan::{Dispatch, Planner, ProgramPlan, Resource, Slice};
use locally_connected::program::Program;
use locally_connected::{DeviceProfile, Result};
use std::num::NonZeroU64;

/// A program and how a device does it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Planned {
    pub(crate) program: Program,
    pub(crate) plan: ProgramPlan,
}

impl Planned {
    pub(crate) fn new(program: Program, batch: u32, planner: &Planner<'_>) -> Result<Self> {
        Ok(Self { plan: planner.program(&program, batch)?, program })
    }

    /// The name of a buffer of the program.
    pub(crate) fn name(&self, resource: Resource) -> Option<&str> {
        match resource {
            Resource::Buffer(id) | Resource::Chunk(id, _) => self.program.buffer(id).map(|buffer| &*buffer.name),
            _ => None,
        }
    }

    /// Checks that it keeps every limit of `profile`: binding sizes and offsets, workgroups, read against written.
    pub(crate) fn assert_keeps_limits(&self, profile: &DeviceProfile) {
        for bytes in self.plan.pieces().into_iter().chain(self.plan.own_scratch().into_iter().map(|(_, bytes)| bytes)) {
            assert!(bytes <= profile.max_buffer, "scratch of {bytes} bytes");
        }
        for (plan, operation) in self.plan.plans.iter().zip(0..) {
            plan.dispatches.iter().for_each(|dispatch| self.assert_dispatch_keeps_limits(dispatch, operation, profile));
        }
    }

    fn assert_dispatch_keeps_limits(&self, dispatch: &Dispatch, operation: usize, profile: &DeviceProfile) {
        let name = dispatch.variant.name();
        let info = dispatch.variant.info();
        let threads = dispatch.variant.threads();
        assert!(threads <= profile.max_workgroup_size.min(profile.max_workgroup_width), "{name} has {threads} threads");
        assert!(info.bindings.len() <= profile.max_storage_buffers as usize, "{name} binds {:?}", info.bindings);
        let memory = dispatch.variant.workgroup_memory();
        assert!(memory <= profile.max_workgroup_memory, "{name} has {memory} bytes of workgroup memory");
        assert_eq!(dispatch.bindings.len(), info.bindings.len(), "bindings of {name}");
        for (slice, access) in dispatch.bindings.iter().zip(info.bindings) {
            let whole = self.plan.bytes(&self.program, operation, slice.resource).expect("it is there");
            let bound = slice.size.map_or(whole - slice.offset, NonZeroU64::get);
            assert!(bound <= profile.max_binding && bound > 0, "{name} binds {bound} bytes of {:?}", slice.resource);
            assert!(slice.offset + bound <= whole, "{name} binds past the end of {:?}", slice.resource);
            let alignment = u64::from(profile.storage_alignment);
            assert_eq!(slice.offset % alignment, 0, "{name}: offset of {:?}", slice.resource);
            // Two of a program's scratch buffers may be one of the device's.
            let place = |resource| match resource {
                Resource::Buffer(id) => Err(self.plan.scratch.of_buffer[id.index()].ok_or(resource)),
                resource => Ok(resource),
            };
            let same = |other: &&Slice| place(other.resource) == place(slice.resource);
            let others = dispatch.bindings.iter().filter(same).count();
            let writes = *access == Access::Write;
            assert!(!writes || others == 1, "{name} binds {:?} twice and writes it", slice.resource);
        }
        let [x, y, z] = dispatch.workgroups;
        assert!([x, y, z].iter().all(|&n| (1..=profile.max_workgroups).contains(&n)), "{name}: {x} x {y} x {z}");
        let [workgroups, workgroups_x] =
            ["workgroups", "workgroups_x"].map(|name| dispatch.params.word(name).expect("a field"));
        let all = u64::from(x) * u64::from(y) * u64::from(z);
        assert!(workgroups_x == x && all >= workgroups.into(), "{name}: {x} x {y} x {z} for {workgroups} workgroups");
    }
}
