//! Who was there on which day, and what proves it.
//!
//! A fold over events: each day of the organisation's zone, each person and each kind of evidence
//! become one [`Sighting`], however often it happened. People of the roster are told by their
//! names. A name that is not on it is shown only where the server has checked it; any other becomes
//! a keyed hash, because people type passwords into that box. Forms that let somebody in without
//! naming them leave the client, as all there is.
//!
//! Invariants: only what a server or an application vouches for makes somebody present, so a name
//! that a client sent alone never does; and sightings of the same lines, cut in any way, add up to
//! the same.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

use super::batch::{AuthOutcome, ClientSource, Event, EventBatch, Field, Grade, Kind};
use super::enrich::Roster;
use super::render::event_id::EventId;
use super::text::hex;
use crate::units::Timestamp;

/// Bytes kept of the name of somebody who is not on the roster.
const NAME_BYTES_MAX: usize = 256;
/// Bytes kept of a site and of a client.
const PLACE_BYTES_MAX: usize = 100;
/// A zone moves its clocks only at multiples of this.
const SLOT_SECS: u64 = 900;

/// What an event proves about the one it is about, the best first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Evidence {
    /// Let in, and the name is proved as well as this.
    Graded(Grade),
    /// Refused.
    Failure,
}

impl Evidence {
    /// All of them, the best first.
    pub const ALL: [Self; 5] = [
        Self::Graded(Grade::A),
        Self::Graded(Grade::B),
        Self::Graded(Grade::C),
        Self::Graded(Grade::D),
        Self::Failure,
    ];

    /// `A` to `D`, or `failure`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Graded(grade) => grade.name(),
            Self::Failure => "failure",
        }
    }

    /// The evidence with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|evidence| evidence.name() == name)
    }

    /// It makes somebody present where grades down to `least` do. Only A and B ever do.
    pub fn counts(self, least: Grade) -> bool {
        self <= Self::Graded(least.min(Grade::B))
    }
}

/// Whom a sighting is about.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Person {
    /// Of the roster, by the name that stands there.
    Member(String),
    /// Not on the roster: a name that was checked, or `unknown#` and a hash.
    Stranger(String),
    /// A client whose log-in left no name.
    Unnamed(String),
}

impl Person {
    /// The kind's name and the name.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Member(name) => ("member", name),
            Self::Stranger(name) => ("stranger", name),
            Self::Unnamed(client) => ("unnamed", client),
        }
    }

    /// The reverse of [`Person::parts`].
    pub fn from_parts(kind: &str, name: String) -> Option<Self> {
        match kind {
            "member" => Some(Self::Member(name)),
            "stranger" => Some(Self::Stranger(name)),
            "unnamed" => Some(Self::Unnamed(name)),
            _ => None,
        }
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.parts().1)
    }
}

/// All evidence of one kind about one person on one day.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sighting {
    /// The day.
    pub day: Date,
    /// Whom it is about.
    pub person: Person,
    /// What it proves.
    pub evidence: Evidence,
    /// How often.
    pub count: u64,
    /// The first time.
    pub first: Timestamp,
    /// The last time.
    pub last: Timestamp,
    /// The hours of the day, the lowest bit for that which begins at midnight.
    pub hours: u32,
    /// Site of the first, or the program whose log tells of it.
    pub site: String,
    /// Client of the first.
    pub client: String,
    /// `event.id` of the first.
    pub event_id: String,
}

impl Sighting {
    /// Adds another of the same day, person and evidence.
    pub fn add(&mut self, other: Self) {
        self.count += other.count;
        self.last = self.last.max(other.last);
        self.hours |= other.hours;
        // Of two at the same time the ids decide, so that the order of reading does not.
        if (other.first, &other.event_id) < (self.first, &self.event_id) {
            self.first = other.first;
            (self.site, self.client) = (other.site, other.client);
            self.event_id = other.event_id;
        }
    }
}

/// What a log says of a person before the roster is asked.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Heading {
    day: Date,
    evidence: Evidence,
    is_named: bool,
}

/// Collects sightings between two commits.
#[derive(Debug)]
pub struct Attendance {
    zone: TimeZone,
    roster: Arc<Roster>,
    seed: u64,
    /// The newest slot of time that was asked about, its day and hour.
    slot: Option<(u64, Date, u8)>,
    /// By the name or client as logged.
    fresh: HashMap<Heading, HashMap<Vec<u8>, Sighting>>,
}

impl Attendance {
    /// Collects for the people of `roster`, by the days of `zone`; `seed` is the key of hashes.
    pub fn new(roster: Arc<Roster>, zone: TimeZone, seed: u64) -> Self {
        Self { zone, roster, seed, slot: None, fresh: HashMap::new() }
    }

    /// Looks at the events of a batch, read at `now`.
    pub fn add(&mut self, batch: &EventBatch, now: Timestamp) {
        let ids = EventId::new(&batch.origin);
        for event in batch.events() {
            if let Some(evidence) = evidence_of(&event) {
                self.see(&event, evidence, &ids, now);
            }
        }
    }

    fn see(&mut self, event: &Event<'_>, evidence: Evidence, ids: &EventId, now: Timestamp) {
        let row = event.row();
        let is_misdated = row.time_is_read || now.plus_ms(86_400_000) < row.time;
        let time = if is_misdated { now } else { row.time };
        let (day, hour) = self.day_of(time);
        let user = event.field(Field::User).filter(|user| !user.is_empty());
        let heading = Heading { day, evidence, is_named: user.is_some() };
        let who = user.unwrap_or_else(|| event.client_text());
        if who.is_empty() {
            return;
        }
        let people = self.fresh.entry(heading).or_default();
        let count = u64::from(row.count);
        if let Some(known) = people.get_mut(who)
            && known.first <= time
        {
            known.count += count;
            known.last = known.last.max(time);
            known.hours |= 1 << hour;
            return;
        }
        let program = event.field(Field::Process).filter(|_| row.kind == Kind::Auth);
        let site = program.unwrap_or_else(|| event.site());
        let id = ids.of(event);
        let sighting = Sighting {
            day,
            person: Person::Unnamed(String::new()),
            evidence,
            count,
            first: time,
            last: time,
            hours: 1 << hour,
            site: shortened(site, PLACE_BYTES_MAX),
            client: shortened(event.client_text(), PLACE_BYTES_MAX),
            event_id: String::from_utf8_lossy(&id).into_owned(),
        };
        match people.get_mut(who) {
            Some(known) => known.add(sighting),
            None => drop(people.insert(who.to_vec(), sighting)),
        }
    }

    fn day_of(&mut self, time: Timestamp) -> (Date, u8) {
        let slot = time.secs() / SLOT_SECS;
        if let Some((known, day, hour)) = self.slot
            && known == slot
        {
            return (day, hour);
        }
        let seconds = i64::try_from(slot * SLOT_SECS).unwrap_or(i64::MAX);
        let moment = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
        let local = self.zone.to_datetime(moment);
        let (day, hour) = (local.date(), local.hour().unsigned_abs());
        self.slot = Some((slot, day, hour));
        (day, hour)
    }

    /// What was seen since the last commit, each person once, in a fixed order.
    pub fn sightings(&self) -> Vec<Sighting> {
        let mut all: BTreeMap<(Date, Person, Evidence), Sighting> = BTreeMap::new();
        for (heading, people) in &self.fresh {
            for (who, sighting) in people {
                let person = self.person(who, *heading);
                let sighting = Sighting { person: person.clone(), ..sighting.clone() };
                match all.get_mut(&(heading.day, person.clone(), heading.evidence)) {
                    Some(known) => known.add(sighting),
                    None => drop(all.insert((heading.day, person, heading.evidence), sighting)),
                }
            }
        }
        all.into_values().collect()
    }

    fn person(&self, who: &[u8], heading: Heading) -> Person {
        if !heading.is_named {
            return Person::Unnamed(shortened(who, PLACE_BYTES_MAX));
        }
        if let Some(member) = self.roster.member(who) {
            return Person::Member(member.user.clone());
        }
        if heading.evidence.counts(Grade::B) {
            return Person::Stranger(shortened(who, NAME_BYTES_MAX));
        }
        Person::Stranger(hashed(who, self.seed))
    }

    /// What was seen is in the store now.
    pub fn committed(&mut self) {
        self.fresh.clear();
    }
}

/// A name that nobody has checked, so that it can be told from others and not read.
pub fn hashed(name: &[u8], seed: u64) -> String {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(name);
    format!("unknown#{}", &hex(&hash.finalize())[..8])
}

/// What `event` proves about whom it names, or about its client; nothing for most events.
fn evidence_of(event: &Event<'_>) -> Option<Evidence> {
    let row = event.row();
    if row.grade.is_none() && row.auth.is_none() {
        return None;
    }
    // Where the text allows another reading, somebody may want another to have been here; and what
    // a client may have written itself proves nothing.
    if row.client_source == ClientSource::Ambiguous || row.suspect_forged {
        return None;
    }
    if event.is_failed_login() {
        return Some(Evidence::Failure);
    }
    let is_named = event.field(Field::User).is_some_and(|user| !user.is_empty());
    if is_named {
        return row.grade.map(Evidence::Graded);
    }
    if row.kind != Kind::Access {
        return None;
    }
    // That a form let somebody in, or may have, and nobody knows whom.
    match row.auth?.outcome {
        AuthOutcome::Success => Some(Evidence::Graded(Grade::C)),
        AuthOutcome::Attempt => Some(Evidence::Graded(Grade::D)),
        _ => None,
    }
}

fn shortened(text: &[u8], bytes: usize) -> String {
    let text = String::from_utf8_lossy(text);
    text[..text.floor_char_boundary(bytes)].to_owned()
}

#[cfg(test)]
mod tests;
