//! A build that runs as a process of its own.

use super::protocol::{Greeting, PROTOCOL, Reply, Request};
use crate::failure::{Failure, one_line};
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

/// A process that measures on request, until it is dropped.
pub(super) struct Worker {
    shown: String,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// Reads the process's standard error all the while: a full pipe would stop it.
    errors: Option<JoinHandle<String>>,
    pub(super) greeting: Greeting,
}

impl Worker {
    /// Starts a build with this call's arguments, and waits until its device is open.
    pub(super) fn start(program: &Path, arguments: &[OsString]) -> Result<Self, Failure> {
        let shown = program.display().to_string();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| Failure::request(format!("{shown}: {error}")))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::machine(format!("{shown}: nothing can be said to it")));
        };
        let greeting =
            Greeting { serves: String::new(), build: String::new(), adapter: super::super::record::Adapter::default() };
        let errors = child.stderr.take().map(|mut errors| {
            std::thread::spawn(move || {
                let mut said = Vec::new();
                // What can't be read isn't reported.
                let _ = errors.read_to_end(&mut said);
                String::from_utf8_lossy(&said).into_owned()
            })
        });
        let output = BufReader::new(output);
        let mut worker = Self { shown, child, input: Some(input), output, errors, greeting };
        let line = worker.line()?;
        match serde_json::from_str::<Greeting>(&line) {
            Ok(greeting) if greeting.serves == PROTOCOL => worker.greeting = greeting,
            _ => {
                let why = format!("{}: is no build of `locally` that can be measured in turns", worker.shown);
                return Err(
                    Failure::request(why).with_help("--against takes the `locally` of another build, since 2026-11-26")
                );
            }
        }
        Ok(worker)
    }

    pub(super) fn ask(&mut self, request: &Request) -> Result<Reply, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::machine(format!("{}: {error}", self.shown));
        let line = serde_json::to_string(request).map_err(|error| failed(&error))? + "\n";
        let said = self.input.as_mut().map(|input| input.write_all(line.as_bytes()).and_then(|()| input.flush()));
        // If the process has ended, the error below says why.
        drop(said);
        let line = self.line()?;
        serde_json::from_str(&line).map_err(|error| Failure::machine(format!("{}: {error}: {line:?}", self.shown)))
    }

    /// The process's next line, or the reason why there is none.
    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(bytes) if bytes > 0 => Ok(line),
            _ => {
                self.input = None;
                let said = self.errors.take().and_then(|errors| errors.join().ok()).unwrap_or_default();
                let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
                Err(Failure::machine(format!("{} ended ({status}): {}", self.shown, one_line(&said))))
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The end of its input ends the process.
        self.input = None;
        let _ = self.child.wait();
    }
}

/// Flags with a value that only the asking process obeys.
const OWN: [&str; 8] =
    ["--against", "--baseline", "--fail-if-slower", "--json", "--csv", "--html", "--lines", "--compare"];

/// The arguments of this call, for a serving process.
pub(super) fn arguments(own: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut own = own.skip(1);
    while let Some(word) = own.next() {
        let text = word.to_string_lossy().into_owned();
        if OWN.contains(&text.as_str()) {
            own.next();
        } else if !OWN.iter().any(|flag| text.strip_prefix(flag).is_some_and(|rest| rest.starts_with('='))) {
            kept.push(word);
        }
    }
    kept.push(OsStr::new("--serve").to_owned());
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_gets_what_says_what_is_measured() {
        let call =
            "locally bench signal-1d --against old --json=r.json --batch 1,8 --fail-if-slower 5% --html h --quiet";
        let kept = arguments(call.split(' ').map(OsString::from));
        let expected = ["bench", "signal-1d", "--batch", "1,8", "--quiet", "--serve"];
        assert_eq!(kept, expected.map(OsString::from));
    }
}
