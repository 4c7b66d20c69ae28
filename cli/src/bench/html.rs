//! The HTML report: one file that needs no network, light or dark as the reader's system.

use super::compare::Comparison;
use super::plots::{against_auto, rate_by_batch, roofline, time_by_batch};
use super::record::Report;
use super::table::{Beside, beside, heading, legend, number, results_cells, results_columns};

/// The whole page: first what several adapters took for the same work, then a part for each adapter.
pub(crate) fn page(reports: &[Report], comparisons: &[Option<Comparison>], date: &str) -> String {
    let mut body = String::from("<h1>locally bench</h1>\n");
    body.push_str(&side_by_side(reports));
    for (report, comparison) in reports.iter().zip(comparisons) {
        body.push_str(&format!("<p>{}, {}</p>\n", escape(&heading(report)), escape(date)));
        body.push_str(&part(report, comparison.as_ref()));
    }
    let names: Vec<&str> = reports.iter().map(|report| report.adapter.name.as_str()).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>locally bench: {}</title>\n<style>\n{}</style>\n\
         </head>\n<body>\n{body}</body>\n</html>\n",
        escape(&names.join(", ")),
        include_str!("report.css"),
    )
}

/// What several adapters took for the same work; empty for one adapter.
fn side_by_side(reports: &[Report]) -> String {
    let rows = beside(reports);
    if rows.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = reports.iter().map(|report| report.adapter.name.as_str()).collect();
    let columns: Vec<&str> = Beside::COLUMNS.into_iter().chain(names).collect();
    let rows = rows.iter().map(Beside::cells);
    let caption = "<p>Wall milliseconds of the planner's choice.</p>";
    format!("<h2>Side by side</h2>\n{caption}\n{}", table(&columns, rows))
}

/// The plots and rows of an adapter.
fn part(report: &Report, comparison: Option<&Comparison>) -> String {
    let mut body = String::from(SWATCHES);
    let caption = "Each point a row, under the rates that this device reached in the same run: copying on the slope, \
                   arithmetic on the level. Rest the pointer on a point to read it. A point above the slope had its \
                   operands in a cache.";
    body.push_str(&figure("Roofline", &roofline(report), caption));
    body.push_str("<h2>Time by batch</h2>\n<div class=\"grid\">\n");
    let mut names: Vec<&str> = Vec::new();
    for row in &report.results {
        if !names.contains(&row.workload.as_str()) {
            names.push(&row.workload);
        }
    }
    for name in names {
        body.push_str(&format!("<div>{}</div>\n", time_by_batch(report, name)));
    }
    body.push_str("</div>\n");
    if let Some(plot) = rate_by_batch(report) {
        body.push_str(&figure(
            "Rate by batch",
            &plot,
            "Where a batch takes longer than a larger one the curve falls by more than it rose.",
        ));
    }
    match against_auto(report) {
        Some(plot) => body.push_str(&figure(
            "Implementation against implementation",
            &plot,
            "Above the dashed line the planner's choice is the faster one.",
        )),
        None => body.push_str(
            "<h2>Implementation against implementation</h2>\n<p>Only one was measured; \
             <code>--implementation auto,1,2,3</code> measures all.</p>\n",
        ),
    }
    if let Some(comparison) = comparison {
        body.push_str(&peers(comparison));
    }
    body + &results(report)
}

/// The meaning of colours, markers and dashes in all plots.
const SWATCHES: &str = "<p class=\"swatches\"><span class=\"loop\">loop</span> <span class=\"dense\">dense</span> \
                        <span class=\"sparse\">sparse</span> <span class=\"cpu\">cpu</span> ● forward ■ backward ▲ both ◆ model ✚ train_step; lines: solid forward, \
                        dashed backward, dotted f16</p>\n";

fn figure(title: &str, plot: &str, caption: &str) -> String {
    format!("<h2>{title}</h2>\n<figure>{plot}<figcaption>{caption}</figcaption></figure>\n")
}

fn table(columns: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let cells = |tag: &str, texts: &mut dyn Iterator<Item = &str>| -> String {
        texts.map(|text| format!("<{tag}>{}</{tag}>", escape(text))).collect()
    };
    let head = cells("th", &mut columns.iter().copied());
    let rows: String =
        rows.map(|row| format!("<tr>{}</tr>\n", cells("td", &mut row.iter().map(String::as_str)))).collect();
    format!("<div class=\"wide\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n")
}

fn results(report: &Report) -> String {
    let columns = results_columns(report);
    let rows = report.results.iter().map(|row| results_cells(row, &columns));
    format!("<h2>All rows</h2>\n{}<p>{}</p>\n", table(&columns, rows), escape(&legend(report)))
}

fn peers(comparison: &Comparison) -> String {
    let ratios = comparison.ratios.iter().map(|r| {
        let texts = [r.workload.clone(), r.pass.clone(), r.batch.to_string(), r.framework.clone()];
        let numbers = [number(r.theirs), number(r.ours), format!("{}×", number(r.value()))];
        texts.into_iter().chain([r.precision.clone()]).chain(numbers).collect()
    });
    let means = comparison.means().into_iter().map(|mean| {
        let batch = mean.batch.map_or("all".into(), |batch| batch.to_string());
        let rows = mean.rows.to_string();
        vec![
            mean.pass,
            mean.precision,
            batch,
            rows,
            format!("{}×", number(mean.mean)),
            format!("{}×", number(mean.least)),
        ]
    });
    format!(
        "<h2>Peers</h2>\n<p>{}; wall time of the fastest peer over ours, above 1 we are faster.</p>\n{}{}",
        escape(&comparison.title),
        table(&["pass", "precision", "batch", "rows", "geometric mean", "least"], means),
        table(&["workload", "pass", "batch", "peer", "precision", "peer ms", "ours ms", "ratio"], ratios),
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::record::example;
    use super::*;

    #[test]
    fn the_page_stands_alone() {
        let report = example();
        let page = page(std::slice::from_ref(&report), &[None], "2026-01-01");
        assert!(page.contains("An &lt;adapter&gt; &amp; &quot;more&quot;"));
        assert_eq!(page.matches("<svg").count(), 1 + 3 + 1);
        assert_eq!(page.matches("<tr>").count(), 1 + report.results.len());
        // Names of XML namespaces look like addresses but aren't loaded.
        let loads = page.replace("http://www.w3.org/", "");
        assert!(!loads.contains("http") && !loads.contains("<script") && !loads.contains("src="));
        assert_eq!(loads.matches("url(").count(), loads.matches("url(#").count());
    }
}
