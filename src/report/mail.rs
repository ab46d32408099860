//! The weekly report as a mail: subject, text and HTML. Sending it is the notifier's business.

use super::week::WeekReport;
use super::{html, text};
use crate::escape::{cut, visible};

/// Columns of a subject that mail programs show.
const SUBJECT_MAX: usize = 120;

/// A mail to be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReportMail {
    /// One line, without text of the log.
    pub subject: String,
    /// Complete in itself.
    pub text: String,
    /// The same figures.
    pub html: String,
}

/// The report as a mail.
pub fn report_mail(report: &WeekReport) -> ReportMail {
    let light = report.verdict.light.word();
    let period = &report.period;
    let subject = format!(
        "[gatewatch {light}] {}: {} to {}: {}",
        report.host, period.first_day, period.last_day, report.verdict.line
    );
    ReportMail {
        subject: cut(&visible(&subject), SUBJECT_MAX),
        text: text::render(report),
        html: html::render(report),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::Week;

    #[test]
    fn the_subject_tells_the_week_in_one_line() {
        let mail = report_mail(&Week::quiet().report());
        assert_eq!(
            "[gatewatch GREEN] web1: 2026-11-13 to 2026-11-19: Quiet week: no alerts. Thursday \
             log-ins 33 of 35 (94.3 %, ±0.0 points…",
            mail.subject
        );
    }

    #[test]
    fn the_subject_is_one_short_line_whatever_the_host_is_called() {
        let mut report = Week::hostile().report();
        report.host = format!("web1\r\nBcc: all@example.org {}", "x".repeat(300));
        let mail = report_mail(&report);
        assert!(!mail.subject.contains(char::is_control), "{}", mail.subject);
        assert!(mail.subject.chars().count() <= SUBJECT_MAX);
    }

    #[test]
    fn the_same_data_makes_the_same_mail() {
        assert_eq!(
            report_mail(&Week::attacked().report()),
            report_mail(&Week::attacked().report())
        );
    }
}
