//! x
pub mod config;
pub mod error;
pub mod geometry;
pub use config::*;
pub use error::*;
