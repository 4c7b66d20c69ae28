//! What bounds a run.

/// What a run may take.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) minutes: f64,
    /// Also a software adapter, of which no record is wanted but for rehearsals.
    pub(super) any_adapter: bool,
}
