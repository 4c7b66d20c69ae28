//! The files of a run's folder.

use std::path::Path;

pub(super) const LOG: &str = "log.jsonl";
pub(super) const FACTS: &str = "facts.json";
pub(super) const CORRECTNESS: &str = "correctness.txt";
pub(super) const CEILINGS: &str = "ceilings.json";
pub(super) const FORMS: &str = "forms.jsonl";
pub(super) const WORKLOADS: &str = "workloads.jsonl";
pub(super) const PEERS: &str = "peers.jsonl";
/// What the programs said beside their results.
pub(super) const SAID: &str = "said.txt";

/// All of them, no more than a borrowed machine's tool brings back.
pub(super) const ALL: [&str; 8] = [LOG, FACTS, CORRECTNESS, CEILINGS, FORMS, WORKLOADS, PEERS, SAID];

/// An error with the path that it is about.
pub(super) fn at(path: &Path) -> impl Fn(std::io::Error) -> String + '_ {
    move |error| format!("{}: {error}", path.display())
}
