//! What two processes of `locally bench --against` say to each other: a JSON object a line, as the peers' workers do
//! (`benches/peers/run_all.py`). The server measures what it is asked for and nothing between.

use super::super::record::{Adapter, Row};
use serde::{Deserialize, Serialize};

/// The form of the messages; builds of another don't understand each other.
pub(super) const PROTOCOL: &str = "locally-bench-serve-1";

/// The server's first line, once it has opened its device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Greeting {
    pub(super) serves: String,
    /// Name and version, and the commit.
    pub(super) build: String,
    pub(super) adapter: Adapter,
}

/// What the server is asked for; the end of its input ends it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Request {
    /// All that the cases of a workload at a batch run on, made anew.
    Prepare { workload: String, batch: u32 },
    /// Runs of a case until so many seconds are over.
    Turn { case: usize, seconds: f64 },
}

/// What it says to that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Reply {
    /// The cases that can be measured, and lines for those that can't.
    Cases { cases: Vec<Case>, skipped: Vec<String> },
    /// Milliseconds of runs, by the wall clock and by the device's where it has one.
    Times { wall_ms: Vec<f64>, gpu_ms: Vec<f64> },
    /// Why there is nothing.
    Error { message: String },
}

/// What is measured, as far as it is the same in both builds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Case {
    pub(super) workload: String,
    pub(super) pass: String,
    /// Whether the planner chose; the builds' planners may choose differently.
    pub(super) auto: bool,
    pub(super) implementation: Option<String>,
    pub(super) batch: u32,
    pub(super) dtype: String,
    pub(super) setup: Option<String>,
}

impl Case {
    /// Whether the other build's case is of the same request.
    pub(super) fn is(&self, other: &Self) -> bool {
        let chosen = |case: &Self| if case.auto { None } else { case.implementation.clone() };
        let same = |case: &Self| Self { implementation: chosen(case), ..case.clone() };
        same(self) == same(other)
    }

    /// Of a row in a file.
    pub(super) fn of_row(row: &Row) -> Self {
        Self {
            workload: row.workload.clone(),
            pass: row.pass.clone(),
            auto: row.auto,
            implementation: row.implementation.clone(),
            batch: row.batch,
            dtype: row.dtype.clone(),
            setup: row.setup.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_lines_that_scripts_can_write() -> serde_json::Result<()> {
        let request = Request::Prepare { workload: "w".into(), batch: 3 };
        assert_eq!(serde_json::to_string(&request)?, r#"{"prepare":{"workload":"w","batch":3}}"#);
        let turn = r#"{"turn":{"case":1,"seconds":0.5}}"#;
        assert_eq!(serde_json::from_str::<Request>(turn)?, Request::Turn { case: 1, seconds: 0.5 });
        let reply = r#"{"times":{"wall_ms":[1.5],"gpu_ms":[]}}"#;
        assert_eq!(serde_json::from_str::<Reply>(reply)?, Reply::Times { wall_ms: vec![1.5], gpu_ms: vec![] });
        Ok(())
    }

    #[test]
    fn the_planners_choice_is_the_same_whatever_it_is() {
        let case = |auto, implementation: &str| Case {
            workload: "w".into(),
            pass: "forward".into(),
            auto,
            implementation: Some(implementation.into()),
            batch: 1,
            dtype: "f32".into(),
            setup: None,
        };
        assert!(case(true, "loop").is(&case(true, "sparse")) && !case(false, "loop").is(&case(false, "sparse")));
        assert!(!case(true, "loop").is(&case(false, "loop")) && case(false, "loop").is(&case(false, "loop")));
    }
}
