//! Messages between the two processes of `locally bench --against`: one JSON object on each line, as with the peers'
//! workers (`benches/peers/run_all.py`). The server measures what it is asked to, and nothing else.

use super::super::record::{Adapter, Row};
use serde::{Deserialize, Serialize};

/// The version of the messages. Builds with different versions don't understand each other.
pub(super) const PROTOCOL: &str = "locally-bench-serve-1";

/// The server's first line, once it has opened its device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Greeting {
    pub(super) serves: String,
    /// Name, version and commit.
    pub(super) build: String,
    pub(super) adapter: Adapter,
}

/// A request to the server. The server ends when its input ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Request {
    /// Make everything anew that the cases of a workload with this batch run on.
    Prepare { workload: String, batch: u32 },
    /// Run a case until so many seconds are over.
    Turn { case: usize, seconds: f64 },
}

/// The server's answer.
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
    /// Whether the planner chose the implementation; the two builds' planners may choose differently.
    pub(super) auto: bool,
    pub(super) implementation: Option<String>,
    pub(super) batch: u32,
    pub(super) dtype: String,
    pub(super) setup: Option<String>,
}

impl Case {
    /// Whether the other build's case comes from the same request.
    pub(super) fn is(&self, other: &Self) -> bool {
        let chosen = |case: &Self| if case.auto { None } else { case.implementation.clone() };
        let same = |case: &Self| Self { implementation: chosen(case), ..case.clone() };
        same(self) == same(other)
    }

    /// The case of a row in a file.
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
