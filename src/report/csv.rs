//! Tables for spreadsheets.
//!
//! Invariant: no cell is a formula. A text that a spreadsheet would take for one gets an
//! apostrophe in front, which is how one writes it by hand; what cannot be seen is escaped.

use super::figures::second;
use super::text::state;
use super::week::WeekReport;
use crate::escape;

/// A table as it grows.
#[derive(Debug)]
pub struct Csv(csv::Writer<Vec<u8>>);

impl Csv {
    /// A table with these columns.
    pub fn new(columns: &[&str]) -> Self {
        let mut table = Self(csv::Writer::from_writer(Vec::new()));
        table.row(columns.iter().map(ToString::to_string));
        table
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().map(|cell| escape::cell(&cell));
        self.0.write_record(cells).expect("memory takes all, and rows are of one length");
    }

    /// The table.
    pub fn finish(self) -> String {
        let bytes = self.0.into_inner().expect("memory takes all");
        String::from_utf8(bytes).expect("made of text")
    }
}

/// Tables of the weekly report with their names: alerts and clients. Who logged in is a list of its
/// own.
pub fn week(report: &WeekReport) -> Vec<(&'static str, String)> {
    let mut alerts = Csv::new(&[
        "opened", "resolved", "severity", "rule", "title", "what", "who", "worked", "code", "state",
    ]);
    for row in &report.alerts.list {
        let resolved = row.resolved.map(|at| second(at, &report.zone)).unwrap_or_default();
        alerts.row([
            second(row.opened, &report.zone),
            resolved,
            row.severity.name().to_owned(),
            row.rule.clone(),
            row.title.clone(),
            row.summary.clone(),
            row.who.clone(),
            row.worked.clone(),
            row.code.clone(),
            state(report, row),
        ]);
    }
    let mut clients = Csv::new(&[
        "client",
        "requests",
        "before",
        "4xx",
        "5xx",
        "bytes",
        "failed_logins",
        "at_most_more",
    ]);
    for row in &report.clients.top {
        clients.row([
            row.client.clone(),
            row.requests.to_string(),
            row.before.map(|before| before.to_string()).unwrap_or_default(),
            row.client_errors.to_string(),
            row.server_errors.to_string(),
            row.bytes.to_string(),
            row.failed_logins.to_string(),
            report.clients.lower_by.to_string(),
        ]);
    }
    vec![("alerts", alerts.finish()), ("clients", clients.finish())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{HOSTILE, Week, check_golden};

    #[test]
    fn the_tables_of_a_week_are_the_golden_files() {
        let report = Week::attacked().report();
        for (name, table) in week(&report) {
            check_golden(&format!("week_{name}.csv"), &table);
        }
        for (_, table) in week(&Week::hostile().report()) {
            assert!(!table.contains("\n=") && !table.contains(",="), "{table}");
        }
    }

    #[test]
    fn no_cell_is_a_formula_and_each_comes_back_from_a_reader() {
        let mut table = Csv::new(&["a"]);
        let formulas =
            ["=1+1", "+1", "-1", "@SUM(1)", "  =1", "\t=1", "\r=1", "＝1", "a\n=1", "\",=1"];
        for cell in HOSTILE.iter().chain(&formulas) {
            table.row([(*cell).to_owned()]);
        }
        let text = table.finish();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let cells: Vec<String> = reader
            .records()
            .map(|record| record.expect("a row").iter().collect::<String>())
            .collect();
        assert_eq!(HOSTILE.len() + formulas.len(), cells.len());
        for cell in cells {
            let begin = cell.trim_start().chars().next();
            assert!(!begin.is_some_and(|first| "=+-@＝＋－＠".contains(first)), "{cell}");
            assert!(!cell.contains(char::is_control), "{cell}");
        }
    }
}
