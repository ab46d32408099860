//! How one day went for everybody of the roster.
//!
//! Invariant: nobody is present but by evidence that counts ([`Evidence::counts`]), in the window.

use jiff::civil::Date;
use serde::{Serialize, Serializer};

use super::super::days::moment;
use super::super::figures::local;
use super::super::week::rfc3339_or_null;
use super::config::ComplianceConfig;
use crate::engine::attendance::{Evidence, Person, Sighting};
use crate::engine::batch::Grade;
use crate::engine::detect::Calendar;
use crate::engine::enrich::{Member, Roster};
use crate::units::Timestamp;

/// What is asked, of whom.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// `[compliance]`.
    pub config: &'a ComplianceConfig,
    /// Who is expected.
    pub roster: &'a Roster,
    /// Zone and holidays.
    pub calendar: &'a Calendar,
}

impl Terms<'_> {
    /// The window on `day`, and the end of its grace.
    pub(super) fn window(&self, day: Date) -> (Timestamp, Timestamp, Timestamp) {
        let (first, end) = self.config.hours();
        let at = |hour: u32| match hour {
            24 => moment(day.tomorrow().unwrap_or(day), jiff::civil::Time::midnight(), self.zone()),
            hour => moment(day, jiff::civil::time(hour as i8, 0, 0, 0), self.zone()),
        };
        (at(first), at(end), at(end).plus(self.config.grace))
    }

    /// When the window of `day` begins.
    pub fn begin(&self, day: Date) -> Timestamp {
        self.window(day).0
    }

    /// The last day on which somebody may be late for `day`.
    pub fn last_day(&self, day: Date) -> Date {
        let (_, _, end) = self.window(day);
        local(Timestamp(end.0.saturating_sub(1)), self.zone()).date().max(day)
    }

    pub(super) fn zone(&self) -> &jiff::tz::TimeZone {
        &self.calendar.zone
    }
}

/// How the day went for one of the people, the best first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Logged in within the window.
    Done,
    /// Logged in behind the window and within the grace.
    Late,
    /// Logged in on the day, before the window.
    Early,
    /// Was refused, and never let in.
    FailedOnly,
    /// The name was seen, and nobody is known to have checked it.
    Unproven,
    /// Nothing was seen.
    Never,
    /// Is not expected.
    Exempt,
}

impl State {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Done => "logged in",
            Self::Late => "late",
            Self::Early => "before the window only",
            Self::FailedOnly => "failed only",
            Self::Unproven => "name seen, not proved",
            Self::Never => "not seen",
            Self::Exempt => "exempt",
        }
    }

    /// Expected, and came neither in time nor late.
    pub(super) fn is_missing(self) -> bool {
        !matches!(self, Self::Done | Self::Late | Self::Exempt)
    }
}

/// One of the people on that day.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct MemberRow {
    /// The name they log in with.
    pub user: String,
    /// What people call them.
    pub name: String,
    /// Their group.
    pub group: String,
    /// How it went.
    pub state: State,
    /// The log-in that counts most: when.
    #[serde(serialize_with = "rfc3339_or_null")]
    pub at: Option<Timestamp>,
    /// How well it is proved.
    #[serde(serialize_with = "grade_or_null")]
    pub evidence: Option<Grade>,
    /// Site or service. Hostile text.
    pub service: String,
    /// Client. Hostile text.
    pub client: String,
    /// `event.id`.
    pub event_id: String,
    /// Log-ins with this name that failed on the day.
    pub failures: u64,
    /// On how many of these days in a row they were missing, this one included.
    pub missing_running: u64,
}

fn grade_or_null<S: Serializer>(grade: &Option<Grade>, serializer: S) -> Result<S::Ok, S::Error> {
    grade.map(Grade::name).serialize(serializer)
}

/// Somebody who logged in and is not on the roster.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct StrangerRow {
    /// The name that was checked. Hostile text.
    pub user: String,
    /// When, first.
    #[serde(serialize_with = "super::super::week::rfc3339")]
    pub at: Timestamp,
    /// Site or service. Hostile text.
    pub service: String,
    /// Client. Hostile text.
    pub client: String,
}

/// Log-ins of a day that tell of nobody on the roster.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Others {
    /// Names tried in vain that nobody on the roster has.
    pub unknown_names: u64,
    /// How often.
    pub unknown_tries: u64,
    /// Clients that a form let in without telling their name.
    pub unnamed_let_in: u64,
    /// Clients that sent a form without a name, and the log does not show how it ended.
    pub unnamed_unclear: u64,
    /// There were more names or clients than are kept apart.
    pub more: bool,
}

/// How the day went.
#[derive(Clone, Debug)]
pub struct DayRows {
    /// The day.
    pub day: Date,
    /// Everybody of the roster, in its order.
    pub members: Vec<MemberRow>,
    /// The hour of the day at which each of those who were there came, as `members`.
    pub(super) hours: Vec<Option<u32>>,
    /// Who came besides.
    pub strangers: Vec<StrangerRow>,
    /// What is known of the rest.
    pub others: Others,
}

impl DayRows {
    /// Judges `day` by the sightings of it and of the days of grace.
    pub fn judge(terms: &Terms<'_>, day: Date, sightings: &[Sighting]) -> Self {
        let members = terms.roster.members();
        let mut rows = Self {
            day,
            members: members.iter().map(|member| absent(member, day)).collect(),
            hours: vec![None; members.len()],
            strangers: Vec::new(),
            others: Others::default(),
        };
        for seen in sightings {
            match &seen.person {
                Person::Member(user) => {
                    let at = members.binary_search_by(|member| member.user.as_str().cmp(user));
                    // Who is not on the roster any more is not asked about.
                    let Ok(at) = at else { continue };
                    rows.see(terms, at, seen);
                }
                _ if seen.day != day => (),
                Person::Stranger(_) => rows.see_stranger(terms, seen),
                Person::Unnamed(_) => rows.others.see_unnamed(seen),
            }
        }
        rows.strangers.sort_by(|a, b| (a.at, &a.user).cmp(&(b.at, &b.user)));
        rows
    }

    /// Counts on how many of these days in a row each of those who are missing was missing; `before`
    /// are the days before, the newest first.
    pub fn with_running(mut self, before: &[Self]) -> Self {
        for (index, row) in self.members.iter_mut().enumerate() {
            if row.state.is_missing() {
                let missed = before.iter().take_while(|day| day.members[index].state.is_missing());
                row.missing_running = 1 + missed.count() as u64;
            }
        }
        self
    }

    fn see(&mut self, terms: &Terms<'_>, index: usize, seen: &Sighting) {
        let row = &mut self.members[index];
        if seen.evidence == Evidence::Failure && seen.day == self.day {
            row.failures += seen.count;
        }
        let Some((state, at, hour)) = judged(terms, self.day, seen) else { return };
        // Who is not expected may come all the same.
        let state = if row.state == State::Exempt { State::Exempt } else { state };
        let known = row.at.map(|at| (row.state, row.evidence, at));
        row.state = row.state.min(state);
        let Evidence::Graded(grade) = seen.evidence else { return };
        let is_better = known.is_none_or(|known| (state, Some(grade), at) < known);
        if seen.evidence.counts(terms.config.evidence.into()) && is_better {
            (row.at, row.evidence) = (Some(at), Some(grade));
            (row.service, row.client) = (seen.site.clone(), seen.client.clone());
            row.event_id = seen.event_id.clone();
            self.hours[index] = Some(hour);
        }
    }

    fn see_stranger(&mut self, terms: &Terms<'_>, seen: &Sighting) {
        let name = seen.person.to_string();
        self.others.more |= name.is_empty();
        if seen.evidence.counts(terms.config.evidence.into()) && !name.is_empty() {
            self.strangers.push(StrangerRow {
                user: name,
                at: seen.first,
                service: seen.site.clone(),
                client: seen.client.clone(),
            });
        } else if seen.evidence == Evidence::Failure {
            self.others.unknown_names += 1;
            self.others.unknown_tries += seen.count;
        }
    }

    /// How many are in `state`.
    pub(super) fn count(&self, state: State) -> u64 {
        self.members.iter().filter(|row| row.state == state).count() as u64
    }

    /// How many were expected.
    pub(super) fn expected(&self) -> u64 {
        self.members.len() as u64 - self.count(State::Exempt)
    }
}

impl Others {
    fn see_unnamed(&mut self, seen: &Sighting) {
        self.more |= seen.person.parts().1.is_empty();
        match seen.evidence {
            Evidence::Graded(Grade::D) => self.unnamed_unclear += 1,
            Evidence::Graded(_) => self.unnamed_let_in += 1,
            Evidence::Failure => (),
        }
    }
}

/// Before anything is known: not seen, or not expected.
fn absent(member: &Member, day: Date) -> MemberRow {
    let is_expected = member.exempt_until.is_none_or(|until| until.0 <= day);
    MemberRow {
        user: member.user.clone(),
        name: member.name.clone(),
        group: member.group.clone(),
        state: if is_expected { State::Never } else { State::Exempt },
        at: None,
        evidence: None,
        service: String::new(),
        client: String::new(),
        event_id: String::new(),
        failures: 0,
        missing_running: 0,
    }
}

/// What a sighting means for `day`, when that was, and in which hour of its day.
fn judged(terms: &Terms<'_>, day: Date, seen: &Sighting) -> Option<(State, Timestamp, u32)> {
    if !seen.evidence.counts(terms.config.evidence.into()) {
        let state = match seen.evidence {
            Evidence::Failure => State::FailedOnly,
            Evidence::Graded(_) => State::Unproven,
        };
        return (seen.day == day).then_some((state, seen.first, 0));
    }
    let (_, _, grace_end) = terms.window(day);
    let (begin, end) = terms.config.hours();
    if seen.day != day {
        return (seen.first < grace_end).then_some((State::Late, seen.first, 0));
    }
    let hours_in = |from: u32, to: u32| {
        let hours = (from..to).filter(|hour| seen.hours >> hour & 1 == 1);
        hours.min()
    };
    let at = |hour: u32| {
        let hour_of = |time| u32::from(local(time, terms.zone()).hour().unsigned_abs());
        let known = [seen.first, seen.last].into_iter().find(|time| hour_of(*time) == hour);
        let begin = || moment(day, jiff::civil::time(hour as i8, 0, 0, 0), terms.zone());
        known.unwrap_or_else(begin)
    };
    if let Some(hour) = hours_in(begin, end) {
        return Some((State::Done, at(hour), hour));
    }
    if let Some(hour) = hours_in(end, 24) {
        let time = at(hour);
        let state = if time < grace_end { State::Late } else { State::Early };
        return Some((state, time, hour));
    }
    hours_in(0, begin).map(|hour| (State::Early, at(hour), hour))
}
