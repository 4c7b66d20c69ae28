//! Runs programs on the host's own threads, with its vector instructions: one routine for each operation.
//!
//! ```text
//! Executor   threads and instructions            Weights   the parameters of a model, by name, there once
//!    └ bind(program, batch) → Bound                 │
//!                               └ run(&weights, inputs, outputs): nothing is allocated; `&mut weights` where the program updates them
//! ```
//!
//! The bits of all results are the same on every run and for any number of threads. Among [`Instructions`], those with a fused
//! multiply-add agree, and so do those without. Activations other than linear and relu call the platform's functions (e^z and
//! the like), so that their bits may differ from one platform to another.
//!
//! What padding clips is never multiplied. The [`Implementation`](crate::config::Implementation) that a layer asks for
//! changes nothing here: all of them are the same sums.

mod activate;
mod bound;
mod change;
mod combine;
mod constrain;
mod executor;
mod functions;
mod instructions;
mod layers;
mod local;
mod loss;
mod memory;
mod normalise;
mod pool;
mod prepared;
mod random;
mod rearrange;
mod reduce;
mod runner;
mod shared;
mod stream;
mod team;
mod threads;
mod total;
mod transpose;
mod update;
mod weights;
mod widen;

pub use bound::Bound;
pub use executor::Executor;
pub use instructions::Instructions;
pub use runner::Runner;
pub use threads::Threads;
pub use weights::{ParameterValues, Store, Weights};
