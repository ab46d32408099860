//! What a test lets happen: generated events or lines, as lines of logs at their moments.
//!
//! An event with an `outcome` is a log-in, and becomes a line of an application's log in JSON; any
//! other is a request, and becomes a line of the combined format, as nginx writes it.

use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::json;

use super::case::Shift;
use super::template::Values;
use crate::engine::batch::EventBatch;
use crate::engine::format::{FormatSet, detect};
use crate::engine::parse::{Parser, Text};
use crate::engine::time::TimeReader;
use crate::io::Chance;
use crate::units::{Period, Timestamp};

/// What happens.
#[derive(Clone, Debug)]
pub(super) enum Script {
    /// Generated events; from the event of that number on, stamps are off by the shift.
    Events { entries: Vec<Entry>, jump: Option<(usize, Shift)> },
    /// Lines as they are.
    Lines { format: String, lines: Vec<String> },
}

/// Events that differ in their number only.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) repeat: u64,
    pub(super) every: Period,
    pub(super) start: Start,
    pub(super) what: What,
}

/// When an entry begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    /// That long after the test's clock.
    At(Period),
    /// That long after the last event of the entry before.
    After(Period),
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// A generated event.
    Set(Box<EventSet>),
    /// Format, source and text of a line.
    Line(String, String, Values),
}

/// What a generated event says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EventSet {
    client: Option<Values>,
    user: Option<Values>,
    outcome: Option<Values>,
    reason: Option<Values>,
    method: Option<Values>,
    path: Option<Values>,
    status: Option<Values>,
    bytes: Option<Values>,
    referrer: Option<Values>,
    agent: Option<Values>,
    site: Option<Values>,
    source: Option<Values>,
}

/// One line on its way.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    /// When it is read.
    pub(super) at: Timestamp,
    pub(super) format: String,
    pub(super) source: String,
    pub(super) site: String,
    pub(super) line: String,
}

impl EventSet {
    /// The key that cannot be meant, the reason and the fix.
    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str, &'static str)> {
        let of_requests = [
            ("method", &self.method),
            ("path", &self.path),
            ("status", &self.status),
            ("bytes", &self.bytes),
            ("referrer", &self.referrer),
        ];
        let fix =
            "leave out `outcome` for a request; the status of a log-in page tells how it ended";
        let request = of_requests.into_iter().find(|(_, value)| value.is_some());
        match (&self.outcome, request) {
            (Some(_), Some((key, _))) => Err((key, "an event with an `outcome` is a log-in", fix)),
            (None, _) if self.reason.is_some() => {
                Err(("reason", "it goes with `outcome`", "add outcome = \"failure\""))
            }
            _ => Ok(()),
        }
    }

    fn delivery(&self, number: u64, at: Timestamp, stamp: Timestamp) -> Delivery {
        let value = |values: &Option<Values>, other: &str| {
            let made = values.as_ref().map(|values| values.fill(number, stamp));
            made.unwrap_or_else(|| other.to_owned())
        };
        let client = value(&self.client, "192.0.2.1");
        let site = value(&self.site, "");
        if self.outcome.is_some() {
            let line = json!({
                "time": stamp.rfc3339(),
                "event": "login",
                "outcome": value(&self.outcome, ""),
                "user": self.user.as_ref().map(|user| user.fill(number, stamp)),
                "ip": client,
                "error": self.reason.as_ref().map(|reason| reason.fill(number, stamp)),
                "user_agent": self.agent.as_ref().map(|agent| agent.fill(number, stamp)),
            });
            let (source, line) = (value(&self.source, "app"), line.to_string());
            return Delivery { at, format: "json".to_owned(), source, site, line };
        }
        let line = format!(
            "{client} - {} [{}] \"{} {} HTTP/1.1\" {} {} \"{}\" \"{}\"",
            quoted(&value(&self.user, "-")),
            clf_time(stamp),
            quoted(&value(&self.method, "GET")),
            quoted(&value(&self.path, "/")),
            value(&self.status, "200"),
            value(&self.bytes, "512"),
            quoted(&value(&self.referrer, "-")),
            quoted(&value(&self.agent, "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")),
        );
        Delivery {
            at,
            format: "combined".to_owned(),
            source: value(&self.source, "web"),
            site,
            line,
        }
    }
}

/// As nginx writes what a client sent.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' | 0..0x20 | 0x7f.. => out.push_str(&format!("\\x{byte:02X}")),
            _ => out.push(char::from(byte)),
        }
    }
    out
}

fn clf_time(time: Timestamp) -> String {
    let seconds = i64::try_from(time.secs()).unwrap_or_default();
    let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string()
}

impl Script {
    /// The lines at their moments, in order.
    pub(super) fn deliveries(&self, clock: Timestamp) -> Vec<Delivery> {
        match self {
            Self::Events { entries, jump } => generated(entries, *jump, clock),
            Self::Lines { format, lines } => timed(format, lines, clock),
        }
    }

    /// The same with one more repetition of the last entry.
    pub(super) fn one_more(&self) -> Option<Self> {
        let Self::Events { entries, jump } = self else { return None };
        let mut entries = entries.clone();
        entries.last_mut()?.repeat += 1;
        Some(Self::Events { entries, jump: *jump })
    }
}

fn generated(entries: &[Entry], jump: Option<(usize, Shift)>, clock: Timestamp) -> Vec<Delivery> {
    let (mut moments, mut last) = (Vec::new(), clock);
    for entry in entries {
        let from = match entry.start {
            Start::At(period) => clock.plus(period),
            Start::After(period) => last.plus(period),
        };
        for number in 1..=entry.repeat {
            last = from.plus_ms((number - 1).saturating_mul(entry.every.ms()));
            moments.push((last, number, &entry.what));
        }
    }
    moments.sort_by_key(|(at, ..)| *at);
    let mut deliveries = Vec::with_capacity(moments.len());
    for (index, (at, number, what)) in moments.into_iter().enumerate() {
        let shift = jump.filter(|(from, _)| *from <= index + 1).map_or(0, |(_, by)| by.0);
        let stamp = Timestamp::from_ms(at.ms().saturating_add_signed(shift));
        deliveries.push(match what {
            What::Set(set) => set.delivery(number, at, stamp),
            What::Line(format, source, line) => Delivery {
                at,
                format: format.clone(),
                source: source.clone(),
                site: String::new(),
                line: line.fill(number, stamp),
            },
        });
    }
    deliveries
}

/// Lines at the times they tell: no earlier than those before them.
fn timed(format: &str, lines: &[String], clock: Timestamp) -> Vec<Delivery> {
    let format = if format == "auto" {
        detect(lines.join("\n").as_bytes(), &mut TimeReader::new(TimeZone::UTC, clock))
    } else {
        format.to_owned()
    };
    let formats = FormatSet::from_definition(&format).expect("it was checked when it was read");
    let mut parser =
        Parser::new(formats, TimeReader::new(TimeZone::UTC, clock), Default::default());
    let (mut batch, mut at) = (EventBatch::default(), None);
    let mut deliveries = Vec::with_capacity(lines.len());
    for line in lines {
        let bytes = line.clone().into_bytes();
        let text = Text {
            origin: Default::default(),
            bytes,
            from: 0,
            truncated_last: false,
            read_at: clock,
        };
        parser.fill(&mut batch, text);
        let told = batch.events().next().filter(|event| !event.row().time_is_read);
        at = at.max(told.map(|event| event.row().time));
        deliveries.push(Delivery {
            at: at.unwrap_or(clock),
            format: format.clone(),
            source: "log".to_owned(),
            site: String::new(),
            line: line.clone(),
        });
    }
    deliveries
}

/// Each line comes later than it should, by `lateness` at most.
pub(super) fn shuffle(deliveries: &mut [Delivery], lateness: Period, chance: &mut dyn Chance) {
    for one in deliveries.iter_mut() {
        one.at = one.at.plus_ms(chance.next_u64() % (lateness.ms() + 1));
    }
    deliveries.sort_by_key(|one| one.at);
}
