//! Rows as CSV and as tables of Markdown.

use super::lines::Row;

/// A table of Markdown.
pub(super) fn markdown(columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = columns.iter().map(ToString::to_string).collect();
    let mut text = line(&head) + &line(&vec!["---".to_owned(); columns.len()]);
    rows.into_iter().for_each(|row| text.push_str(&line(&row)));
    text
}

/// Three significant digits, or all before the point.
pub(super) fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        v if v >= 0.1 || v == 0.0 => 3,
        _ => 4,
    };
    format!("{value:.digits$}")
}

/// Our rows, with the columns of `locally bench --csv`, and the kernels that were run.
pub(super) fn csv(rows: &[Row]) -> String {
    let mut text =
        "run,workload,pass,implementation,auto,batch,dtype,wall_ms_min,wall_ms_median,wall_ms_max,gpu_ms_min,\
                    gpu_ms_median,gpu_ms_max,gb_s,gflop_s,of_ceiling,setup,kernels\n"
            .to_owned();
    for row in rows {
        let Row { run, workload, pass, implementation, auto, batch, dtype, gb_s, gflop_s, setup, .. } = row;
        let (wall, gpu) = (spread(Some(row.wall)), spread(row.gpu));
        let (ceiling, kernels) = (optional(row.of_ceiling), row.kernels.join(" "));
        text.push_str(&format!(
            "{run},{workload},{pass},{implementation},{auto},{batch},{dtype},{wall},{gpu},{gb_s},{gflop_s},{ceiling},{setup},\
             {kernels}\n"
        ));
    }
    text
}

/// Peers' rows and ours beside them.
pub(super) fn peers_csv(rows: &[Row]) -> String {
    let mut text = "workload,pass,batch,framework,implementation,precision,formulation,wall_ms_min,wall_ms_median,\
                    wall_ms_max,gpu_ms_min,gpu_ms_median,gpu_ms_max,error\n"
        .to_owned();
    for row in rows {
        let Row { workload, pass, batch, framework, implementation, precision, .. } = row;
        let (wall, gpu, error) = (spread(Some(row.wall)), spread(row.gpu), optional(row.error));
        // The only text that may have commas.
        let formulation = row.formulation.replace(',', "");
        text.push_str(&format!(
            "{workload},{pass},{batch},{framework},{implementation},{precision},{formulation},{wall},{gpu},{error}\n"
        ));
    }
    text
}

fn spread(spread: Option<[f64; 3]>) -> String {
    spread.map_or(",,".to_owned(), |[min, median, max]| format!("{min},{median},{max}"))
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_every_column() {
        let row = Row { formulation: "bmm, taps".into(), kernels: vec!["a".into(), "b".into()], ..Row::default() };
        let rows = [row.clone(), Row { gpu: Some([1.0; 3]), of_ceiling: Some(0.5), error: Some(1e-7), ..row }];
        for text in [csv(&rows), peers_csv(&rows)] {
            let columns = text.lines().next().map_or(0, |line| line.split(',').count());
            assert!(columns > 10 && text.lines().all(|line| line.split(',').count() == columns), "{text}");
            assert_eq!(text.lines().count(), 3);
        }
        assert_eq!(markdown(&["a", "b"], [vec!["1".into(), "2".into()]]), "| a | b |\n| --- | --- |\n| 1 | 2 |\n");
    }
}
