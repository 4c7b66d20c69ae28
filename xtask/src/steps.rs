//! Steps of a command, one after another, each with its time.

use crate::sh::Result;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// A command's steps: all of them, or those that were asked for by name.
pub(crate) struct Steps<'a> {
    only: &'a [&'a str],
    names: Vec<String>,
    done: Vec<(String, Duration)>,
}

impl<'a> Steps<'a> {
    pub(crate) fn all() -> Self {
        Self::only(&[])
    }

    /// Those whose names begin with one of `only`; all where it is empty.
    pub(crate) fn only(only: &'a [&'a str]) -> Self {
        Self { only, names: Vec::new(), done: Vec::new() }
    }

    /// Runs a step and prints its time. The first that fails ends the command.
    pub(crate) fn step(&mut self, name: &str, body: impl FnOnce() -> Result) -> Result {
        self.names.push(name.to_owned());
        if !self.only.is_empty() && !self.only.iter().any(|start| name.starts_with(start)) {
            return Ok(());
        }
        println!("\n== {name}");
        let _ = std::io::stdout().flush();
        let start = Instant::now();
        body().map_err(|error| format!("step `{name}`: {error}"))?;
        let time = start.elapsed();
        println!("== {name}: ok, {}", shown(time));
        self.done.push((name.to_owned(), time));
        Ok(())
    }

    /// All times once more, and their sum. Names that no step has are an error.
    pub(crate) fn end(self) -> Result {
        let unknown = |start: &&&str| !self.names.iter().any(|name| name.starts_with(**start));
        if let Some(start) = self.only.iter().find(unknown) {
            return Err(format!("no step is named {start}: there are {}", self.names.join(", ")));
        }
        println!();
        self.done.iter().for_each(|(name, time)| println!("{:>12}  {name}", shown(*time)));
        println!("{:>12}  all passed", shown(self.done.iter().map(|(_, time)| *time).sum()));
        Ok(())
    }
}

fn shown(time: Duration) -> String {
    let tenths = time.as_millis() / 100;
    match tenths / 600 {
        0 => format!("{}.{} s", tenths / 10, tenths % 10),
        minutes => format!("{minutes} min {} s", tenths % 600 / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_picked_by_the_beginnings_of_their_names() {
        let run = |only: &[&str]| {
            let (mut steps, mut ran) = (Steps::only(only), Vec::new());
            for name in ["format", "features", "docs"] {
                steps.step(name, || {
                    ran.push(name);
                    Ok(())
                })?;
            }
            steps.end().map(|()| ran)
        };
        assert_eq!(run(&[]), Ok(vec!["format", "features", "docs"]));
        assert_eq!(run(&["f"]), Ok(vec!["format", "features"]));
        assert_eq!(run(&["docs", "feat"]), Ok(vec!["features", "docs"]));
        assert!(run(&["lint"]).is_err_and(|error| error.contains("format, features, docs")));
    }

    #[test]
    fn a_step_that_fails_is_named() {
        let mut steps = Steps::all();
        assert_eq!(steps.step("docs", || Err("no".into())), Err("step `docs`: no".to_owned()));
    }

    #[test]
    fn times_are_short() {
        assert_eq!(shown(Duration::from_millis(1_290)), "1.2 s");
        assert_eq!(shown(Duration::from_secs(150)), "2 min 30 s");
    }
}
