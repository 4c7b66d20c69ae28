//! Every integration test, in one program, as the library's are.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod configs;
mod cpu;
mod damage;
mod files;
mod frames;
mod hostile;
mod models;
mod programs;
mod schedules;
mod trained;
mod trainings;
