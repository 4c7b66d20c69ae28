//! What a run left, as files of a record and in words.

use super::advice::Advice;
use super::files::{self, at};
use super::lines::{Row, distinct, mean, rows, values};
use super::tables::{csv, markdown, number, peers_csv};
use crate::sh::{self, Result};
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::path::Path;

/// The planner's choice may be slower than the best by so much.
const NEAR: f64 = 1.05;

/// Writes `<records>/<adapter>/` and prints what the run says.
pub(super) fn read(results: &Path, records: &Path) -> Result {
    let facts = results.join(files::FACTS);
    let facts = std::fs::read_to_string(&facts).map_err(|e| format!("{}: {e}: no run began here", facts.display()))?;
    let facts: Value = serde_json::from_str(&facts).map_err(|e| format!("{}: {e}", files::FACTS))?;
    let name = facts["adapter"]["name"].as_str().unwrap_or("unknown");
    let folder = records.join(slug(name));
    std::fs::create_dir_all(&folder).map_err(at(&folder))?;
    let date = date(facts["seconds_since_1970"].as_u64().unwrap_or(0));

    let file = |name: &str| results.join(name);
    let (forms, workloads) = (rows(&file(files::FORMS))?, rows(&file(files::WORKLOADS))?);
    let peers = rows(&file(files::PEERS))?;
    let own = facts["adapter"]["strategy"].as_object().cloned().unwrap_or_default();
    let ceilings =
        std::fs::read_to_string(file(files::CEILINGS)).ok().and_then(|text| serde_json::from_str(&text).ok());

    let mut text = format!("# {name}, {date}\n\n");
    text += &about(&facts, &values(&file(files::LOG))?);
    text += &clocks(&file(files::SAID))?;
    text += &commit(facts["commit"].as_str().unwrap_or("unknown"));
    text += &correctness(&file(files::CORRECTNESS), &values(&file(files::LOG))?)?;
    text += &ceilings_table(&ceilings.unwrap_or_default());
    text += &strategy(&own, &forms);
    text += &shapes(&forms);
    text += &misses(&workloads, &forms);
    text += &shares(&workloads);
    text += &halves(&workloads);
    text += &against_peers(&peers);
    for (ending, content, there) in [
        (".md", text.clone(), true),
        (".csv", csv(&workloads), !workloads.is_empty()),
        ("-forms.csv", csv(&forms), !forms.is_empty()),
        ("-peers.csv", peers_csv(&peers), !peers.is_empty()),
    ] {
        let path = folder.join(format!("{date}{ending}"));
        if there {
            std::fs::write(&path, content).map_err(at(&path))?;
        }
    }
    println!("{text}\nwritten to {}", folder.display());
    Ok(())
}

/// A record is of the code that ran, which need not be the code that is here.
fn commit(ran: &str) -> String {
    let here = sh::capture(sh::command("git").args(["describe", "--always", "--dirty", "--abbrev=12"]));
    match here {
        Some(here) if here == ran => String::new(),
        Some(here) => format!("Read at commit {here}, which is not the one that ran, {ran}.\n\n"),
        None => String::new(),
    }
}

fn about(facts: &Value, log: &[Value]) -> String {
    let adapter = &facts["adapter"];
    let text = |key: &str| adapter[key].as_str().unwrap_or("?");
    let mut said = format!(
        "{}, driver {} {}, subgroups of {}, commit {}. By `cargo xtask gpu-record`: caches cold, the device's own clock \
         where it has one.\n\n",
        text("backend"),
        text("driver"),
        text("driver_info"),
        adapter["subgroup_sizes"],
        facts["commit"].as_str().unwrap_or("?"),
    );
    let parts = distinct(log.iter().filter_map(|line| line["part"].as_str()));
    let ended = |name: &str| log.iter().find(|line| line["part"] == name && line.get("how").is_some());
    let list = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(|text| text.replace('|', "/")).collect()
    };
    let part = |name: &str| {
        let ended = ended(name);
        let seconds = ended.and_then(|line| line["seconds"].as_f64()).map_or(String::new(), |s| format!("{s:.0}"));
        vec![name.to_owned(), ended.and_then(|line| line["how"].as_str()).unwrap_or("broken off").to_owned(), seconds]
    };
    said += &markdown(&["part", "ended", "s"], parts.iter().map(|name| part(name)));
    for (name, ended) in parts.iter().filter_map(|name| Some((name, ended(name)?))) {
        list(&ended["cut"]).iter().for_each(|cut| said += &format!("\n- {name}, not to its end: `{cut}`"));
        list(&ended["wrong"]).iter().for_each(|wrong| said += &format!("\n- {name}, gone wrong: {wrong}"));
    }
    for missing in log.iter().filter_map(|line| line["missing"].as_str().and(line["why"].as_str())) {
        let _ = write!(said, "\n- {missing}");
    }
    said + "\n\n"
}

/// The clocks that a GPU had while it was measured: `nvidia-smi`'s lines of time, SM and memory MHz, watts and degrees.
fn clocks(path: &Path) -> Result<String> {
    let text = if path.exists() { std::fs::read(path).map_err(at(path))? } else { Vec::new() };
    let text = String::from_utf8_lossy(&text).into_owned();
    let fields = |line: &str| -> Option<[f64; 4]> {
        let fields: Vec<&str> = line.split(", ").collect();
        let [_, sm, memory, watts, degrees] = fields[..] else { return None };
        Some([sm.parse().ok()?, memory.parse().ok()?, watts.parse().ok()?, degrees.trim().parse().ok()?])
    };
    let mut samples: Vec<[f64; 4]> = text.lines().filter_map(fields).collect();
    if samples.is_empty() {
        return Ok(String::new());
    }
    samples.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let ([least, ..], [most, ..]) = (samples[0], samples[samples.len() - 1]);
    let [median, memory, ..] = samples[samples.len() / 2];
    let hottest = samples.iter().map(|sample| sample[3]).fold(0.0, f64::max);
    Ok(format!(
        "Clocks, second by second: SM {least:.0} to {most:.0} MHz, median {median:.0}; memory {memory:.0} MHz; at most \
         {hottest:.0} °C.\n\n"
    ))
}

/// What the tests and `verify` said.
fn correctness(path: &Path, log: &[Value]) -> Result<String> {
    let text = if path.exists() { std::fs::read(path).map_err(at(path))? } else { Vec::new() };
    let text = String::from_utf8_lossy(&text).into_owned();
    let ended = |how: &str| text.lines().filter(|line| line.contains("test ") && line.ends_with(how)).count();
    let (passed, failed) = (ended("... ok"), ended("... FAILED"));
    let models = text.lines().filter(|line| line.starts_with("tolerance")).count();
    let mut said =
        format!("## Correctness\n\n{passed} tests passed, {failed} failed; {models} models through `verify`.\n\n");
    for line in text.lines().filter(|line| line.contains("test ") && line.ends_with("... FAILED")) {
        let _ = writeln!(said, "- {line}");
    }
    for kernel in log.iter().filter_map(|line| line["failing"].as_str()) {
        let _ = writeln!(said, "- kernel `{kernel}` fails here; it was left out of what follows");
    }
    Ok(said + "\n")
}

fn ceilings_table(roof: &Value) -> String {
    let Some(footprints) = roof["footprints"].as_array() else { return "## Ceilings\n\nNot measured.\n\n".into() };
    let rates = |footprint: &Value| {
        let rate = |key: &str| footprint[key].as_f64().map_or_else(String::new, number);
        let kib = footprint["bytes"].as_f64().unwrap_or(0.0) / 1024.0;
        vec![number(kib), rate("read_gb_s"), rate("write_gb_s"), rate("copy_gb_s")]
    };
    let flops = roof["ceiling"]["f32_gflop_s"].as_f64().unwrap_or(0.0);
    format!("## Ceilings\n\n{} GFLOP/s of f32.\n\n", number(flops))
        + &markdown(&["KiB", "read GB/s", "write GB/s", "copy GB/s"], footprints.iter().map(rates))
        + "\n"
}

fn strategy(own: &Map<String, Value>, forms: &[Row]) -> String {
    let advice = Advice::new(own, forms);
    let mut said = format!("## What the strategy should be\n\n```rust\n{}\n```\n\n", advice.literal());
    advice.reasons.iter().for_each(|reason| said += &format!("- {reason}\n"));
    said + "\n"
}

/// The shapes of tiles against the planner's own choice of them.
fn shapes(forms: &[Row]) -> String {
    let setups = distinct(forms.iter().map(|row| row.setup.as_str()).filter(|setup| setup.contains("tile_shape=")));
    if setups.is_empty() {
        return String::new();
    }
    let own = |row: &Row| {
        forms.iter().find(|other| other.setup == "form=tiled" && other.run == row.run && other.case() == row.case())
    };
    let line = |setup: &&str| {
        let of_setup = forms.iter().filter(|row| row.setup == **setup);
        let ratios: Vec<f64> = of_setup.filter_map(|row| Some(row.milliseconds() / own(row)?.milliseconds())).collect();
        let best = ratios.iter().filter(|ratio| **ratio < 0.95).count();
        let shape = setup.rsplit('=').next().unwrap_or(setup).to_owned();
        vec![
            shape,
            mean(&ratios).map_or_else(String::new, |m| format!("{m:.3}")),
            best.to_string(),
            ratios.len().to_string(),
        ]
    };
    "## Shapes of tiles: time over that of the planner's shape\n\n".to_owned()
        + &markdown(&["shape", "mean", "rows over 5 % faster", "rows"], setups.iter().map(line))
        + "\n"
}

/// Cases in which another implementation, form or shape is faster than what the planner takes by itself, each by the run
/// that says most against the planner.
fn misses(workloads: &[Row], forms: &[Row]) -> String {
    let is_own = |row: &Row| (row.auto || row.setup == "own") && row.dtype == "f32";
    let mut worst: Vec<(&Row, &Row)> = Vec::new();
    for rows in [workloads, forms] {
        for own in rows.iter().filter(|row| is_own(row)) {
            let others = rows.iter().filter(|other| {
                other.run == own.run && other.case() == own.case() && other.dtype == own.dtype && !is_own(other)
            });
            let Some(best) = others.min_by(|a, b| a.milliseconds().total_cmp(&b.milliseconds())) else { continue };
            let ratio = |(own, best): (&Row, &Row)| own.milliseconds() / best.milliseconds();
            match worst.iter_mut().find(|(other, _)| other.case() == own.case()) {
                Some(other) if ratio((own, best)) > ratio(*other) => *other = (own, best),
                Some(_) => {}
                None => worst.push((own, best)),
            }
        }
    }
    let compared = worst.len();
    worst.retain(|(own, best)| own.milliseconds() > NEAR * best.milliseconds());
    worst.sort_by(|a, b| {
        (b.0.milliseconds() / b.1.milliseconds()).total_cmp(&(a.0.milliseconds() / a.1.milliseconds()))
    });
    let line = |&(own, best): &(&Row, &Row)| {
        let ([least, ..], [.., most]) = (own.gpu.unwrap_or(own.wall), best.gpu.unwrap_or(best.wall));
        vec![
            own.workload.clone(),
            own.pass.clone(),
            own.batch.to_string(),
            format!("{} {}", own.implementation, number(own.milliseconds())),
            format!("{} {} {}", best.implementation, best.setup, number(best.milliseconds())).replace("  ", " "),
            format!("{:.2}", own.milliseconds() / best.milliseconds()),
            // The best of many is the luckiest, too.
            if least > most { String::new() } else { "within the noise".into() },
        ]
    };
    let columns = ["workload", "pass", "batch", "the planner's, ms", "best, ms", "ratio", ""];
    format!("## Cases where the planner is over 5 % from the best: {} of {compared}\n\n", worst.len())
        + &(if worst.is_empty() { String::new() } else { markdown(&columns, worst.iter().map(line)) })
        + "\n"
}

/// Our share of the roof; over all of it is a fault of the probe.
fn shares(workloads: &[Row]) -> String {
    let first = workloads.first().map_or(0, |row| row.run);
    let rows = workloads.iter().filter(|row| row.run == first && row.auto && row.dtype == "f32");
    let mut shares: Vec<(&Row, f64)> = rows.filter_map(|row| Some((row, row.of_ceiling?))).collect();
    shares.sort_by(|a, b| a.1.total_cmp(&b.1));
    let line = |(row, share): &(&Row, f64)| {
        let fault = if *share > 1.0 { "a fault of the probe: a kernel beats it" } else { "" };
        vec![
            row.workload.clone(),
            row.pass.clone(),
            row.batch.to_string(),
            number(row.milliseconds()),
            format!("{:.0} %", 100.0 * share),
            distinct(row.kernels.iter().map(String::as_str)).join(" "),
            fault.to_owned(),
        ]
    };
    let over = shares.iter().filter(|(_, share)| *share > 1.0).count();
    format!("## Share of the roof, the worst first; {over} rows over it\n\n")
        + &markdown(&["workload", "pass", "batch", "ms", "of roof", "kernels", ""], shares.iter().map(line))
        + "\n"
}

/// What f16 weights gain.
fn halves(workloads: &[Row]) -> String {
    let mut said = String::new();
    let of = |dtype: &'static str| workloads.iter().filter(move |row| row.auto && row.dtype == dtype);
    let same = |other: &Row, row: &Row| other.run == row.run && other.case() == row.case();
    for (pass, batch) in distinct(of("f16").map(|row| (row.pass.as_str(), row.batch))) {
        let ratios: Vec<f64> = of("f16")
            .filter(|row| (row.pass.as_str(), row.batch) == (pass, batch))
            .filter_map(|row| Some(of("f32").find(|other| same(other, row))?.milliseconds() / row.milliseconds()))
            .collect();
        if let Some(gain) = mean(&ratios) {
            let _ =
                writeln!(said, "- {pass}, batch {batch}: {gain:.2} times as fast as f32 ({} workloads)", ratios.len());
        }
    }
    if said.is_empty() { said } else { format!("## f16 weights\n\n{said}\n") }
}

/// The fastest peer's time over ours, by wall clock, which all have, and by the device's where both have one.
fn against_peers(rows: &[Row]) -> String {
    let ours = |case: (&str, &str, u64)| {
        let own = rows.iter().filter(|row| row.framework == "locally" && row.case() == case);
        own.min_by(|a, b| a.wall[1].total_cmp(&b.wall[1]))
    };
    let peers: Vec<&Row> = rows.iter().filter(|row| row.framework != "locally").collect();
    if peers.is_empty() {
        return "## Peers\n\nNone were measured.\n".into();
    }
    let fastest = |case: (&str, &str, u64), precision: &str| {
        let of_case = peers.iter().filter(|row| row.case() == case && row.precision == precision);
        of_case.min_by(|a, b| a.wall[1].total_cmp(&b.wall[1])).copied()
    };
    let precisions = distinct(peers.iter().map(|row| row.precision.as_str()));
    let cases = distinct(peers.iter().map(|row| row.case()));
    let devices = distinct(peers.iter().map(|row| row.device.as_str())).join(", ");
    let mut said = format!(
        "## The fastest peer's wall time over ours: above 1 we are faster\n\nPeers on {devices}. In brackets the \
         framework and its milliseconds; `device` is the ratio by the device's own clock.\n\n"
    );
    let mut lines = Vec::new();
    for &case in &cases {
        let Some(own) = ours(case) else { continue };
        let mut line = vec![case.0.to_owned(), case.1.to_owned(), case.2.to_string(), number(own.wall[1])];
        for precision in &precisions {
            line.push(fastest(case, precision).map_or_else(String::new, |peer| {
                let device = peer.gpu.zip(own.gpu).map(|(theirs, ours)| format!(", device {:.2}", theirs[1] / ours[1]));
                let error = peer.error.map(|error| format!(", off by {error:.0e}"));
                let more = device.unwrap_or_default() + &error.unwrap_or_default();
                format!("{:.2} ({} {}{more})", peer.wall[1] / own.wall[1], peer.framework, number(peer.wall[1]))
            }));
        }
        lines.push(line);
    }
    let columns: Vec<&str> =
        ["workload", "pass", "batch", "ours, ms"].into_iter().chain(precisions.iter().copied()).collect();
    said += &markdown(&columns, lines);
    for (pass, batch) in distinct(cases.iter().map(|case| (case.1, case.2))) {
        let of_kind = cases.iter().filter(|case| (case.1, case.2) == (pass, batch));
        let ratios: Vec<f64> =
            of_kind.filter_map(|&case| Some(fastest(case, "f32")?.wall[1] / ours(case)?.wall[1])).collect();
        if let Some(mean) = mean(&ratios) {
            let _ = write!(said, "\n{pass}, batch {batch}, f32: {mean:.2} in the geometric mean of {}", ratios.len());
        }
    }
    said + "\n"
}

/// `NVIDIA H100 80GB HBM3` as a folder's name; what stands in parentheses are versions.
fn slug(name: &str) -> String {
    let plain = name.split('(').next().unwrap_or(name).trim().to_lowercase();
    let words = plain.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let slug = words.collect::<Vec<_>>().join("-");
    if slug.is_empty() { "unknown".into() } else { slug }
}

/// Year, month and day, UTC, of seconds since 1970 (Howard Hinnant's `civil_from_days`).
fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + u64::from(month <= 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!([0, 951_782_400, 1_795_651_200].map(date), ["1970-01-01", "2000-02-29", "2026-11-26"]);
    }

    #[test]
    fn adapters_have_folders() {
        assert_eq!(slug("NVIDIA H100 80GB HBM3"), "nvidia-h100-80gb-hbm3");
        assert_eq!(slug("llvmpipe (LLVM 15.0.6, 256 bits)"), "llvmpipe");
        assert_eq!(slug("../..") + &slug(""), "unknownunknown");
    }

    fn row(workload: &str, auto: bool, implementation: &str, median: f64) -> Row {
        let [workload, pass, implementation, dtype] = [workload, "forward", implementation, "f32"].map(str::to_owned);
        Row { workload, pass, implementation, dtype, auto, batch: 8, wall: [median; 3], ..Row::default() }
    }

    #[test]
    fn what_auto_misses_is_told() {
        let workloads = [row("a", true, "loop", 2.0), row("a", false, "sparse", 1.0)];
        // Another run's rows are no better, whatever they say.
        let own = Row { setup: "own".into(), ..row("b", false, "loop", 1.04) };
        let said =
            misses(&workloads, &[own, row("b", false, "loop", 1.0), Row { run: 1, ..row("b", false, "loop", 0.1) }]);
        assert!(
            said.contains("1 of 2") && said.contains("| a | forward | 8 | loop 2.00 | sparse 1.00 | 2.00 |  |"),
            "{said}"
        );
    }

    #[test]
    fn a_share_over_the_roof_is_the_probes_fault() {
        let workloads = [Row { of_ceiling: Some(1.2), ..row("a", true, "loop", 1.0) }];
        assert!(shares(&workloads).contains("1 rows over it") && shares(&workloads).contains("a fault of the probe"));
    }

    /// A run that was killed left half a line, and no end of its part.
    #[test]
    fn a_run_that_was_broken_off_is_read() -> Result {
        let folder = std::env::temp_dir().join(format!("gpu-record-{}", std::process::id()));
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).map_err(|e| e.to_string());
        std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        write(
            files::FACTS,
            r#"{"seconds_since_1970": 0, "commit": "c", "adapter": {"name": "A (1)", "strategy": {}}}"#,
        )?;
        write(
            files::LOG,
            "{\"part\":\"facts\"}\n{\"part\":\"facts\",\"how\":\"done\",\"seconds\":1.0}\n{\"part\":\"wor",
        )?;
        let whole = r#"{"workload":"w","pass":"forward","implementation":"loop","auto":true,"batch":1,"dtype":"f32",
            "wall_ms":{"min":1,"median":2,"max":3},"gpu_ms":null,"of_ceiling":0.5,"kernels":["k"]}"#;
        write(files::WORKLOADS, &format!("{}\n{}", whole.replace('\n', ""), &whole[..40]))?;
        read(&folder, &folder.join("records"))?;
        let text = |name: &str| std::fs::read_to_string(folder.join("records/a").join(name)).map_err(|e| e.to_string());
        assert!(text("1970-01-01.md")?.contains("| w | forward | 1 | 2.00 | 50 % | k |"));
        assert_eq!(text("1970-01-01.csv")?.lines().count(), 2);
        assert!(!folder.join("records/a/1970-01-01-peers.csv").exists());
        std::fs::remove_dir_all(&folder).map_err(|e| e.to_string())
    }
}
