//! Everybody of the roster on one day: `report --who-logged-in`, for terminals, programs and
//! spreadsheets.

use serde::Serialize;

use super::judge::{MemberRow, Others, State, StrangerRow};
use super::{Compliance, words};
use crate::engine::batch::Grade;
use crate::escape::unlinked;
use crate::report::csv::Csv;
use crate::report::figures::{count, of, second};
use crate::report::page::{Cell, Page, Style, Table, Tone};
use crate::units::Timestamp;

use jiff::tz::TimeZone;

/// Everybody on one day.
#[derive(Clone, Debug, Serialize)]
pub struct WhoList {
    /// Version of these keys; a new one means that an old one changed its meaning.
    pub schema: u32,
    /// The figures, as in the report.
    pub summary: Compliance,
    /// Everybody of the roster, those first whom one looks for.
    pub members: Vec<MemberRow>,
    /// Who was let in and is not on the roster.
    pub strangers: Vec<StrangerRow>,
    /// What is known of the rest.
    pub others: Others,
    /// Zone that times are shown in.
    #[serde(skip)]
    pub zone: TimeZone,
}

/// Where somebody stands in the list.
fn rank(state: State) -> u8 {
    match state {
        State::Never => 0,
        State::FailedOnly => 1,
        State::Unproven => 2,
        State::Early => 3,
        State::Late => 4,
        State::Done => 5,
        State::Exempt => 6,
    }
}

impl WhoList {
    /// The list of `members` as `summary` counts them.
    pub fn new(
        summary: Compliance,
        mut members: Vec<MemberRow>,
        strangers: Vec<StrangerRow>,
        zone: TimeZone,
    ) -> Self {
        members.sort_by_key(|row| rank(row.state));
        let others = summary.others;
        Self { schema: 1, summary, members, strangers, others, zone }
    }

    /// For a terminal.
    pub fn text(&self, style: Style) -> String {
        let mut page = Page::new(style);
        page.heading(&words::title(&self.summary), &words::day(&self.summary));
        for (label, text) in words::figures(&self.summary, &self.zone) {
            page.labelled(label, 10, text);
        }
        if !self.members.is_empty() {
            page.heading("Members", &count(self.members.len() as u64));
            page.table(&self.table());
        }
        if !self.strangers.is_empty() {
            page.heading("Not on the roster", &count(self.strangers.len() as u64));
            let mut table = Table::new(&["first", "site", "client", "user"]);
            for row in &self.strangers {
                table.row([
                    self.clock(Some(row.at)).into(),
                    unlinked(&row.service).into(),
                    unlinked(&row.client).into(),
                    unlinked(&row.user).into(),
                ]);
            }
            page.table(&table);
        }
        page.blank();
        page.paragraph(Tone::Plain, &words::key(&self.summary));
        page.finish()
    }

    fn table(&self) -> Table {
        let titles = ["state", "when", "proof", ">failed", ">missing", "who"];
        let mut table = Table::new(&titles);
        for row in &self.members {
            let tone = match row.state {
                State::Done | State::Exempt => Tone::Plain,
                State::Late | State::Early => Tone::Warn,
                _ => Tone::Bad,
            };
            table.row([
                Cell::new(tone, row.state.words()),
                self.clock(row.at).into(),
                row.evidence.map_or("", Grade::name).into(),
                number(row.failures).into(),
                running(row.missing_running).into(),
                unlinked(&words::who(row)).into(),
            ]);
        }
        table
    }

    /// The time of day, or the day too where it is another one.
    fn clock(&self, at: Option<Timestamp>) -> String {
        let Some(at) = at else { return String::new() };
        let local = crate::report::figures::local(at, &self.zone);
        let form = if local.date().to_string() == self.summary.day { "%H:%M" } else { "%a %H:%M" };
        local.strftime(form).to_string()
    }

    /// For spreadsheets.
    pub fn csv(&self) -> String {
        let mut table = Csv::new(&[
            "user",
            "name",
            "group",
            "state",
            "time",
            "evidence",
            "service",
            "client",
            "failures",
            "missing_running",
            "event_id",
            "note",
        ]);
        let doubt = if self.summary.at_least { "lines of that day are missing" } else { "" };
        for row in &self.members {
            table.row([
                row.user.clone(),
                row.name.clone(),
                row.group.clone(),
                row.state.words().to_owned(),
                row.at.map(|at| second(at, &self.zone)).unwrap_or_default(),
                row.evidence.map_or("", Grade::name).to_owned(),
                row.service.clone(),
                row.client.clone(),
                row.failures.to_string(),
                row.missing_running.to_string(),
                row.event_id.clone(),
                if row.state.is_missing() { doubt.to_owned() } else { String::new() },
            ]);
        }
        for row in &self.strangers {
            let mut cells = vec![String::new(); 12];
            cells[0].clone_from(&row.user);
            "not on the roster".clone_into(&mut cells[3]);
            cells[4] = second(row.at, &self.zone);
            cells[6].clone_from(&row.service);
            cells[7].clone_from(&row.client);
            table.row(cells);
        }
        table.finish()
    }
}

fn number(value: u64) -> String {
    if value == 0 { String::new() } else { count(value) }
}

fn running(days: u64) -> String {
    if days < 2 { String::new() } else { of(days, "week", "weeks") }
}
