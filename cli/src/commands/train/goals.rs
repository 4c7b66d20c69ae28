//! The goal of each output: `--loss` and `--metric`, or what the file says.

use crate::args::Train;
use crate::failure::Failure;
use locally_connected::model::End;
use locally_connected::train::{Goal, Loss, Metric};
use locally_connected_keras::compiled::Compiled;

/// The goal of each output, in their order.
pub(super) fn goals(
    args: &Train,
    compiled: Option<&Compiled>,
    outputs: &[End<'_>],
) -> Result<Vec<(String, Goal)>, Failure> {
    let names: Vec<&str> = outputs.iter().map(|output| output.name).collect();
    let mut goals: Vec<(String, Goal)> = names.iter().map(|name| ((*name).to_owned(), Goal::default())).collect();
    if args.loss.is_empty() {
        let Some(compiled) = compiled else {
            return Err(
                Failure::request("the model's file has no loss").with_help("--loss mse, for instance, names one")
            );
        };
        let own = compiled
            .goals(&names)
            .map_err(|error| Failure::from(error).with_help("--loss names another than the file's"))?;
        goals.iter_mut().zip(own).for_each(|(goal, own)| goal.1 = own);
        // Given metrics replace the file's.
        if !args.metric.is_empty() {
            for (_, goal) in &mut goals {
                (goal.metrics, goal.weighted_metrics) = (Vec::new(), Vec::new());
            }
        }
    }
    for text in &args.loss {
        let (output, name) = of_output(text, &names, "--loss")?;
        let loss = Loss::from_keras_name(name).map_err(|error| Failure::request(format!("--loss {text}: {error}")))?;
        for (_, goal) in goals.iter_mut().filter(|(of, _)| output.is_none_or(|output| output == of)) {
            goal.loss = Some(loss);
        }
    }
    if let Some((name, _)) = goals.iter().find(|(_, goal)| goal.loss.is_none() && args.loss.len() > 1) {
        return Err(Failure::request(format!("--loss: none is given for the output {name:?}")));
    }
    for text in &args.metric {
        let (output, name) = of_output(text, &names, "--metric")?;
        let metric =
            Metric::from_keras_name(name).map_err(|error| Failure::request(format!("--metric {text}: {error}")))?;
        for (_, goal) in goals.iter_mut().filter(|(of, _)| output.is_none_or(|output| output == of)) {
            goal.metrics.push(metric.clone());
        }
    }
    Ok(goals)
}

/// Parses `OUTPUT=NAME`; a name alone is for all outputs.
fn of_output<'a>(text: &'a str, outputs: &[&str], flag: &str) -> Result<(Option<&'a str>, &'a str), Failure> {
    match text.split_once('=') {
        None => Ok((None, text)),
        Some((output, name)) if outputs.contains(&output) => Ok((Some(output), name)),
        Some((output, _)) => {
            let message = format!("{flag} {text}: the model has no output {output:?}");
            Err(Failure::request(message).with_help(format!("its outputs: {}", outputs.join(", "))))
        }
    }
}
