//! What is told, before it has a channel's form: one model for all of them, in the words of mails.
//!
//! Invariant: every string in a [`Told`] is of one line, bounded, shows no control character and
//! holds no link, whatever the log held. What is special in a channel's own syntax is its renderer's
//! business.

use super::super::answered;
use super::super::content::{self, MailContext};
use super::super::page::{Block, Page};
use super::super::text::{cut, safe};
use crate::engine::detect::{Alert, AlertState, Severity};
use crate::units::Timestamp;

/// What a message is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Matter<'a> {
    /// One transition of one alert.
    Alert(&'a Alert),
    /// Alerts that were raised while old lines were read; never empty.
    OldLines(&'a [Alert]),
}

impl<'a> Matter<'a> {
    /// The alert, or the worst of them.
    pub(super) fn alert(self) -> &'a Alert {
        match self {
            Self::Alert(alert) => alert,
            Self::OldLines(alerts) => {
                alerts.iter().max_by_key(|alert| alert.severity).expect("never empty")
            }
        }
    }

    /// It says that an alert is over.
    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Alert(alert) if alert.state == AlertState::Resolved)
    }

    pub(super) fn severity(self) -> Severity {
        self.alert().severity
    }

    /// What its incident is known by: the same at its begin, at its end, and when it comes twice.
    pub(super) fn key(self) -> String {
        match self {
            Self::Alert(alert) => {
                alert.part.as_ref().map_or(&alert.id, |part| &part.incident).clone()
            }
            Self::OldLines(alerts) => format!("old-lines-{}", alerts[0].id),
        }
    }
}

/// One line of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Line {
    /// `What`, `When`, …; empty where the line goes on.
    pub(super) label: &'static str,
    /// Its text.
    pub(super) text: String,
}

/// A message to people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Told {
    /// `HIGH`, `RESOLVED`, `OLD LINES`.
    pub(super) badge: String,
    /// What happened, who did it, where.
    pub(super) title: String,
    /// Answers, in the order of a reader's questions.
    pub(super) lines: Vec<Line>,
    /// Rule and code of the alert; who tells.
    pub(super) footer: String,
}

/// The sections of a mail that a short message has room for.
const LABELS: [&str; 9] =
    ["What", "Incident", "Worked?", "When", "Where", "Who", "Do now", "Rules", "Alerts"];
/// Lines of a message.
const LINES_MAX: usize = 30;
/// Characters of a line.
const LINE_MAX: usize = 500;
/// Characters of a title.
const TITLE_MAX: usize = 200;

impl Told {
    pub(super) fn of(matter: Matter<'_>, context: &MailContext, now: Timestamp) -> Self {
        let (page, about) = match matter {
            Matter::Alert(alert) => {
                let rule = safe(&alert.rule.id, 60);
                let code = content::code(alert);
                // What was never stored, as that mail is down, cannot be answered.
                let known = answered::plain_code(alert).filter(|_| alert.part.is_some());
                let how = known.map(|code| format!(" (gatewatch ack {code})")).unwrap_or_default();
                (
                    content::alert_page(alert, context, now),
                    format!("alert {code}{how}, rule {rule}, "),
                )
            }
            Matter::OldLines(alerts) => (old_lines(alerts, context), String::new()),
        };
        let lines = lines(&page);
        let footer = format!(
            "{about}gatewatch {} on {}",
            safe(&context.version, 20),
            safe(&context.host, 60)
        );
        Self { badge: page.badge, title: cut(&page.title, TITLE_MAX, "…"), lines, footer }
    }

    /// `HIGH: Password spraying from 203.0.113.7 on shop.example.org`, in at most so many characters.
    pub(super) fn headline(&self, chars_max: usize) -> String {
        cut(&format!("{}: {}", self.badge, self.title), chars_max, "…")
    }

    /// Everything below the headline as plain text, in at most so many bytes.
    pub(super) fn text(&self, bytes_max: usize) -> String {
        let room = bytes_max.saturating_sub(self.footer.len() + 8);
        let mut text = String::new();
        for line in &self.lines {
            let label =
                if line.label.is_empty() { String::new() } else { format!("{}: ", line.label) };
            let line = format!("{label}{}\n", line.text);
            if room < text.len() + line.len() {
                text.push_str("…\n");
                break;
            }
            text.push_str(&line);
        }
        text.push_str(&self.footer);
        text
    }
}

fn old_lines(alerts: &[Alert], context: &MailContext) -> Page {
    let lead = ["These lines were in the logs before gatewatch read them. Look at the times."];
    let were = match alerts.len() {
        1 => "1 alert was".to_owned(),
        count => format!("{count} alerts were"),
    };
    let title = format!("{were} raised while old lines were read");
    content::list_page("OLD LINES", title, &lead, alerts, context)
}

fn lines(page: &Page) -> Vec<Line> {
    let mut lines = Vec::new();
    for section in page.sections.iter().filter(|section| LABELS.contains(&section.label)) {
        let mut label = section.label;
        for text in section.blocks.iter().filter_map(text).filter(|text| !text.is_empty()) {
            lines.push(Line { label, text: cut(&text, LINE_MAX, "…") });
            label = "";
        }
    }
    lines.truncate(LINES_MAX);
    lines
}

fn text(block: &Block) -> Option<String> {
    match block {
        Block::Text(text) | Block::Strong(text) => Some(text.clone()),
        Block::Step(number, text) => Some(format!("{number}. {text}")),
        Block::Command(program, code) => Some(format!("{program}: {code}")),
        Block::Item { badge, what, small, .. } => Some(format!("{badge}: {what}; {small}")),
        // Notes and log lines are for whoever has the room of a mail.
        Block::Note(_) | Block::Line(..) => None,
    }
}
