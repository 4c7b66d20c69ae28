//! Rows that can't be measured, and why, without repeating a reason for every batch.

use super::workloads::Pass;

/// What can't run, and why.
#[derive(Debug, PartialEq)]
pub(crate) struct Skip {
    /// Implementation and type of weights; empty if nothing of the batch can run.
    pub(crate) how: String,
    pub(crate) pass: Option<Pass>,
    pub(crate) batch: u32,
    pub(crate) why: String,
}

/// The skips of a workload, one line for each reason.
pub(crate) fn lines(workload: &str, skips: &[Skip]) -> Vec<String> {
    let mut found: Vec<(&Skip, Vec<&'static str>, Vec<String>)> = Vec::new();
    for skip in skips {
        let known = found.iter().position(|(first, ..)| first.how == skip.how && first.why == skip.why);
        let at = known.unwrap_or(found.len());
        if known.is_none() {
            found.push((skip, Vec::new(), Vec::new()));
        }
        let (_, passes, batches) = &mut found[at];
        if let Some(pass) = skip.pass.map(Pass::name).filter(|pass| !passes.contains(pass)) {
            passes.push(pass);
        }
        let batch = skip.batch.to_string();
        if !batches.contains(&batch) {
            batches.push(batch);
        }
    }
    let line = |(skip, passes, batches): &(&Skip, Vec<&str>, Vec<String>)| {
        let what = [workload, skip.how.as_str(), &passes.join("+")].join(" ");
        format!("skip: {} batch {}: {}", what.trim(), batches.join(","), skip.why)
    };
    found.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_said_once() {
        let skip = |how: &str, pass, batch, why: &str| Skip { how: how.into(), pass, batch, why: why.into() };
        let skips = [
            skip("dense f32", Some(Pass::Forward), 1, "too large"),
            skip("dense f32", Some(Pass::Backward), 1, "too large"),
            skip("dense f32", Some(Pass::Forward), 8, "too large"),
            skip("dense f32", Some(Pass::Backward), 8, "too large"),
            skip("", None, 32, "no room"),
        ];
        let expected = ["skip: w dense f32 forward+backward batch 1,8: too large", "skip: w batch 32: no room"];
        assert_eq!(lines("w", &skips), expected);
    }
}
