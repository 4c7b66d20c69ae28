//! `locally bench --serve`: one of two builds that are compared.

use super::super::args::Args;
use super::super::meta::Meta;
use super::super::prepared::Prepared;
use super::super::skips;
use super::super::target::Device;
use super::protocol::{Case, Greeting, PROTOCOL, Reply, Request};
use crate::args::Common;
use crate::failure::Failure;
use std::io::{BufRead, Write};
use std::time::Instant;

/// Answers requests until the input ends.
pub(crate) fn serve(common: &Common, args: &Args) -> Result<(), Failure> {
    let device = Device::open(common, args)?;
    let meta = Meta::here();
    let build = format!("{} {}", meta.package, meta.commit).trim().to_owned();
    let mut pipe = Pipe { lines: std::io::stdin().lock(), out: std::io::stdout().lock() };
    pipe.say(&Greeting { serves: PROTOCOL.into(), build, adapter: device.adapter() })?;
    let (workloads, selection) = (args.workloads()?, args.selection()?);
    let mut next = pipe.request()?;
    while let Some(request) = next {
        let Request::Prepare { workload, batch } = request else {
            pipe.say(&Reply::Error { message: "nothing is prepared".into() })?;
            next = pipe.request()?;
            continue;
        };
        let Some(workload) = workloads.iter().find(|known| known.name() == workload) else {
            pipe.say(&Reply::Error { message: format!("there is no workload {workload:?} here") })?;
            next = pipe.request()?;
            continue;
        };
        let mut subject = device.subject(workload, &selection)?;
        let mut skipped = Vec::new();
        let mut prepared = subject.prepare(batch, &mut skipped)?;
        let cases = cases(&*prepared);
        pipe.say(&Reply::Cases { cases, skipped: skips::lines(workload.name(), &skipped) })?;
        next = turns(&mut *prepared, &mut pipe)?;
    }
    Ok(())
}

fn cases(prepared: &dyn Prepared) -> Vec<Case> {
    let case = |(key, _): &(super::super::record::Key, _)| Case {
        workload: key.workload.clone(),
        pass: key.pass.name().into(),
        auto: key.auto,
        implementation: key.implementation.map(|implementation| implementation.name().into()),
        batch: key.batch,
        dtype: key.dtype.name().into(),
        setup: key.setup.clone(),
    };
    // If several rows are one case, the first one stands for all.
    prepared.cases().iter().filter_map(|described| described.rows.first()).map(case).collect()
}

/// Takes turns until another request comes, which it returns.
fn turns(prepared: &mut dyn Prepared, pipe: &mut Pipe<impl BufRead, impl Write>) -> Result<Option<Request>, Failure> {
    loop {
        let (case, seconds) = match pipe.request()? {
            Some(Request::Turn { case, seconds }) => (case, seconds),
            other => return Ok(other),
        };
        if case >= prepared.cases().len() {
            pipe.say(&Reply::Error { message: format!("there is no case {case}") })?;
            continue;
        }
        let (mut wall_ms, mut gpu_ms) = (Vec::new(), Vec::new());
        let began = Instant::now();
        while wall_ms.is_empty() || began.elapsed().as_secs_f64() < seconds {
            let sample = prepared.time(case, 1)?;
            wall_ms.push(sample.wall);
            gpu_ms.extend(sample.gpu);
        }
        pipe.say(&Reply::Times { wall_ms, gpu_ms })?;
    }
}

/// Reads and writes lines.
struct Pipe<R, W> {
    lines: R,
    out: W,
}

impl<R: BufRead, W: Write> Pipe<R, W> {
    fn say(&mut self, message: &impl serde::Serialize) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::machine(format!("standard output: {error}"));
        let line = serde_json::to_string(message).map_err(|error| failed(&error))? + "\n";
        self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush()).map_err(|error| failed(&error))
    }

    /// The next request; none at the end of the input.
    fn request(&mut self) -> Result<Option<Request>, Failure> {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line);
        if read.map_err(|error| Failure::machine(format!("standard input: {error}")))? == 0 {
            return Ok(None);
        }
        let wrong = |error| Failure::request(format!("standard input: {error}: {line:?}"));
        serde_json::from_str(&line).map(Some).map_err(wrong)
    }
}
