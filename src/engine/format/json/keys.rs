//! Which key of a JSON object means what, and the values that one line has for each meaning.
//!
//! A [`KeyMap`] is made once of a table. Several keys may have one meaning (`request_uri` before
//! `uri`): the row that stands first wins, whatever the order in the line. Several rows may have
//! one key: of guesses the first whose kind of value it is wins, otherwise each gets the value.
//!
//! Invariant: of a key that is there twice the first value counts, so that text which breaks out
//! of its quotes cannot take the place of what the server wrote before it. Only of a list of
//! forwarded addresses the last item counts: the one the nearest proxy wrote.

use std::borrow::Cow;

use ahash::RandomState;
use hashbrown::HashMap;

use super::super::auth::pairs::pairs;
use super::super::capture::{Applier, Capture, Escape, TimeForm, duration};
use super::super::{Context, Miss};
use crate::engine::address;
use crate::engine::batch::{Field, Module, Stamp, Writer};
use crate::engine::json::{self, Keys, Kind, Reader, Value};

/// Meanings of one map.
const SLOTS_MAX: usize = 64;

/// What a value tells that is no field by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Hint {
    /// The text of the line.
    Message,
    /// `error`, `30`.
    Level,
    /// The program or the part of it that speaks.
    Program,
    /// What the event is, in one word.
    Event,
    /// The same, from another key.
    Class,
    /// How it ended.
    Outcome,
    /// Why it failed.
    Error,
    /// There were credentials with the request, whatever their text.
    Credentials,
    /// The key itself tells which server wrote the line.
    Mark,
}

const HINTS: usize = Hint::Mark as usize + 1;

/// The meanings that formats ask for by name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Place {
    Time,
    Client,
    Peer,
    User,
    Request,
    Method,
    Target,
    Query,
    Status,
    TlsVersion,
}

impl Place {
    /// What fills each of them.
    const ALL: [(Self, Capture); 10] = [
        (Self::Time, Capture::Time(TimeForm::Any)),
        (Self::Client, Capture::Client),
        (Self::Peer, Capture::Text(Field::Peer)),
        (Self::User, Capture::User),
        (Self::Request, Capture::Request),
        (Self::Method, Capture::Text(Field::Method)),
        (Self::Target, Capture::Target),
        (Self::Query, Capture::Text(Field::Query)),
        (Self::Status, Capture::Status),
        (Self::TlsVersion, Capture::TlsVersion),
    ];
}

/// The meaning of a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum What {
    /// A field.
    Is(Capture),
    /// Something to decide by.
    Tells(Hint),
}

#[derive(Clone, Debug)]
struct Row {
    what: What,
    /// Place of its value in [`Found`].
    slot: u8,
}

/// A compiled table of keys.
#[derive(Clone, Debug)]
pub(super) struct KeyMap {
    by_key: HashMap<Vec<u8>, Vec<u16>, RandomState>,
    rows: Vec<Row>,
    slots: usize,
    /// The slot of each [`Place`].
    places: [Option<u8>; Place::ALL.len()],
    keys: Keys,
    /// Values are looked at before they are taken: the keys are guesses.
    is_guess: bool,
    /// Beginnings of paths that may be left out.
    prefixes: Vec<&'static str>,
}

/// The values of one line.
pub(super) struct Found<'l> {
    slots: [Option<(u16, Value<'l>)>; SLOTS_MAX],
    hints: [Option<(u16, Value<'l>)>; HINTS],
    /// Slots whose key is there, if only with nothing in it.
    seen: u64,
    /// Slots whose key is there with a value that cannot be what the key says.
    misfits: u64,
}

impl KeyMap {
    /// A map of `rows`, the best first; keys are written folded where `keys` says so.
    pub(super) fn new(rows: Vec<(Vec<u8>, What)>, keys: Keys) -> Result<Self, String> {
        let hasher = RandomState::with_seeds(1, 2, 3, 4);
        let mut map = Self {
            by_key: HashMap::with_hasher(hasher),
            rows: Vec::new(),
            slots: 0,
            places: [None; Place::ALL.len()],
            keys,
            is_guess: false,
            prefixes: Vec::new(),
        };
        for (key, what) in rows {
            let slot = match &what {
                What::Tells(hint) => *hint as u8,
                What::Is(capture) => map.slot_of(capture)?,
            };
            let row = map.rows.len() as u16;
            map.by_key.entry(key).or_default().push(row);
            map.rows.push(Row { what, slot });
        }
        for (place, capture) in &Place::ALL {
            map.places[*place as usize] = map.known_slot(capture);
        }
        Ok(map)
    }

    /// A map of `rows`, whose keys may stand behind one of `prefixes`, and whose values are checked.
    pub(super) fn guesses(
        rows: impl IntoIterator<Item = (&'static str, What)>,
        prefixes: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        let rows = rows.into_iter().map(|(key, what)| (json::folded(key.as_bytes()), what));
        let map = Self::new(rows.collect(), Keys::Folded).expect("a table has few meanings");
        Self { is_guess: true, prefixes: prefixes.into_iter().collect(), ..map }
    }

    /// How many meanings it knows.
    pub(super) fn len(&self) -> usize {
        self.slots
    }

    /// The slot of the rows before it that mean the same, or a new one.
    fn slot_of(&mut self, capture: &Capture) -> Result<u8, String> {
        if let Some(slot) = self.known_slot(capture) {
            return Ok(slot);
        }
        if SLOTS_MAX <= self.slots {
            return Err(format!("it has more than {SLOTS_MAX} variables"));
        }
        self.slots += 1;
        Ok(self.slots as u8 - 1)
    }

    /// Reads the values of one line.
    pub(super) fn read<'l>(&self, line: &'l [u8]) -> Result<Found<'l>, Miss> {
        let mut reader = Reader::new(line, self.keys).map_err(|_| Miss::Shape)?;
        let mut found = Found::default();
        let mut header: Option<&[u8]> = None;
        while let Some(leaf) = reader.next_leaf().map_err(|_| Miss::Shape)? {
            let value = leaf.value;
            self.see(leaf.path, value, &mut header, &mut found);
        }
        Ok(found)
    }

    /// Reads the values of a line of `key=value`. None of the keys may be there twice.
    pub(super) fn read_pairs<'l>(&self, line: &'l [u8]) -> Result<Found<'l>, Miss> {
        let mut found = Found::default();
        for (key, text) in pairs(line).ok_or(Miss::Shape)?.iter() {
            let Some(rows) = self.by_key.get(key) else { continue };
            let slot = |row: &u16| self.rows[usize::from(*row)].slot;
            if rows.iter().any(|row| found.seen & (1 << slot(row)) != 0) {
                return Err(Miss::Shape);
            }
            let at = text.as_ptr() as usize - line.as_ptr() as usize;
            let is_quoted = at.checked_sub(1).is_some_and(|before| line[before] != b'=');
            let escaped = is_quoted && text.contains(&b'\\');
            let value = Value { kind: Kind::Text, text, escaped, index: 0 };
            self.take(rows, value, 0, &mut found);
        }
        Ok(found)
    }

    /// Keeps the value at `path`, if that means anything.
    fn see<'l>(
        &self,
        path: &[u8],
        value: Value<'l>,
        header: &mut Option<&'l [u8]>,
        found: &mut Found<'l>,
    ) {
        if let Some(rows) = self.by_key.get(path) {
            return self.take(rows, value, 0, found);
        }
        if !self.is_guess {
            return;
        }
        // `"headers":[{"name":"Host","value":"…"}]`
        if path.ends_with(b"headers.name") {
            *header = Some(value.text);
            return;
        }
        if let Some(start) = path.strip_suffix(b".value")
            && start.ends_with(b"headers")
            && let Some(name) = header.take().filter(|name| name.len() <= 64)
        {
            let path = [start, b".", &*json::folded(name)].concat();
            return self.see(&path, Value { index: 0, ..value }, &mut None, found);
        }
        for prefix in &self.prefixes {
            if let Some(rest) = path.strip_prefix(prefix.as_bytes())
                && let Some(rows) = self.by_key.get(rest)
            {
                return self.take(rows, value, self.rows.len() as u16, found);
            }
        }
    }

    /// Keeps `value` for the first of `rows` that it fits.
    fn take<'l>(&self, rows: &[u16], value: Value<'l>, handicap: u16, found: &mut Found<'l>) {
        for (at, index) in rows.iter().enumerate() {
            let row = &self.rows[usize::from(*index)];
            let rank = index + handicap;
            let capture = match &row.what {
                What::Is(capture) => capture,
                What::Tells(hint) => {
                    let place = &mut found.hints[*hint as usize];
                    let is_told = *hint == Hint::Credentials || is_told(value);
                    if is_told && place.is_none_or(|(other, _)| rank < other) {
                        *place = Some((rank, value));
                    }
                    continue;
                }
            };
            let bit = 1u64 << row.slot;
            if !is_told(value) {
                // Nothing stands there: what it would have been is known all the same.
                if at == 0 {
                    found.seen |= bit;
                }
                continue;
            }
            if self.is_guess && !fits(capture, value) {
                found.misfits |= bit;
                continue;
            }
            found.seen |= bit;
            let place = &mut found.slots[usize::from(row.slot)];
            let is_last = matches!(capture, Capture::Text(Field::Forwarded)) && 0 < value.index;
            if place.is_none_or(|(other, _)| rank < other || (is_last && rank == other)) {
                *place = Some((rank, value));
            }
            if self.is_guess {
                return;
            }
        }
    }

    /// Sets the fields that the line has values for.
    pub(super) fn apply(
        &self,
        found: &Found<'_>,
        module: Module,
        stamp: Stamp,
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<(), Miss> {
        let applier = Applier { escape: Escape::Json, module, stamp, client_is_address: false };
        let values = found.slots[..self.slots].iter().flatten();
        let mut query = None;
        let mut has_request = false;
        for (row, value) in values {
            let What::Is(capture) = &self.rows[usize::from(*row) % self.rows.len()].what else {
                continue;
            };
            match capture {
                Capture::Request => has_request = true,
                // The request line says the same, and as the client wrote it.
                Capture::Target | Capture::Protocol | Capture::Text(Field::Method)
                    if has_request =>
                {
                    continue;
                }
                Capture::Text(Field::Query) => {
                    query = Some(value);
                    continue;
                }
                _ => (),
            }
            applier.apply(capture, value.text, value.escaped, cx, out)?;
        }
        if let Some(value) = query.filter(|_| !out.has(Field::Query)) {
            let capture = Capture::Text(Field::Query);
            applier.apply(&capture, value.text, value.escaped, cx, out)?;
        }
        Ok(())
    }

    /// There is a key that means it.
    pub(super) fn knows(&self, place: Place) -> bool {
        self.places[place as usize].is_some()
    }

    /// The line has a key that means it, if only with nothing in it.
    pub(super) fn has(&self, found: &Found<'_>, place: Place) -> bool {
        self.places[place as usize].is_some_and(|slot| found.seen & (1 << slot) != 0)
    }

    /// The line has a key that means it, and none of its values can be that.
    pub(super) fn misfits(&self, found: &Found<'_>, place: Place) -> bool {
        self.places[place as usize].is_some_and(|slot| {
            found.misfits & (1 << slot) != 0 && found.slots[usize::from(slot)].is_none()
        })
    }

    /// The text of the value that means it, escapes undone.
    pub(super) fn text<'l>(&self, found: &Found<'l>, place: Place) -> Option<Cow<'l, [u8]>> {
        let slot = self.places[place as usize]?;
        found.slots[usize::from(slot)].map(|(_, value)| clear(value))
    }

    /// The slot of the first row that means the same.
    fn known_slot(&self, capture: &Capture) -> Option<u8> {
        let is_it = |row: &&Row| matches!(&row.what, What::Is(other) if is_same(other, capture));
        self.rows.iter().find(is_it).map(|row| row.slot)
    }
}

impl Default for Found<'_> {
    fn default() -> Self {
        Self { slots: [None; SLOTS_MAX], hints: [None; HINTS], seen: 0, misfits: 0 }
    }
}

impl<'l> Found<'l> {
    /// The text of a hint, escapes undone.
    pub(super) fn hint(&self, hint: Hint) -> Option<Cow<'l, [u8]>> {
        self.hints[hint as usize].map(|(_, value)| clear(value))
    }

    /// The line has the hint, whatever its text.
    pub(super) fn tells(&self, hint: Hint) -> bool {
        self.hints[hint as usize].is_some()
    }
}

/// The text of a value with its escapes undone.
fn clear(value: Value<'_>) -> Cow<'_, [u8]> {
    if !value.escaped {
        return Cow::Borrowed(value.text);
    }
    let mut text = Vec::with_capacity(value.text.len());
    json::unescape(&mut text, value.text);
    Cow::Owned(text)
}

/// Something stands there.
fn is_told(value: Value<'_>) -> bool {
    !matches!(value.text, b"" | b"-" | b"--")
}

/// The two captures fill the same place.
fn is_same(one: &Capture, other: &Capture) -> bool {
    use Capture::{Client, Duration, Endpoint, Time};
    let field = |capture: &Capture| match capture {
        Capture::Text(field) | Capture::Number(field) | Capture::Upstream(Some(field)) => {
            Some(*field)
        }
        Capture::TlsVersion => Some(Field::TlsVersion),
        _ => None,
    };
    match (one, other) {
        (Client | Endpoint, Client | Endpoint)
        | (Time(_), Time(_))
        | (Duration(_), Duration(_)) => true,
        _ => one == other || field(one).is_some_and(|name| Some(name) == field(other)),
    }
}

/// A guess at the meaning of a key is borne out by its value.
fn fits(capture: &Capture, value: Value<'_>) -> bool {
    let text = value.text;
    match capture {
        Capture::Client | Capture::Endpoint | Capture::Text(Field::Peer) => {
            let last = memchr::memrchr(b',', text).map_or(text, |comma| &text[comma + 1..]);
            let last = last.trim_ascii();
            address::parse_ip(last).is_some()
                || text == b"unix:"
                || (text.contains(&b'.') && is_named(text))
                || (*capture == Capture::Endpoint
                    && address::parse_ip(address::split_port(last).0).is_some())
        }
        Capture::Time(_) => match text {
            [b'[' | b'A'..=b'Z', ..] => true,
            [b'0'..=b'9', ..] => 9 <= text.len(),
            _ => false,
        },
        Capture::Status => {
            matches!(text, b"0" | b"000" | [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9'])
        }
        Capture::Duration(unit) => duration(*unit, text).is_some(),
        // One word is a target or a method that was logged under this name, or garbage.
        Capture::Request => {
            let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'/';
            value.kind == Kind::Text && (text.contains(&b' ') || !is_word(text[0]))
        }
        Capture::Target => value.kind == Kind::Text,
        Capture::Text(Field::Method) => {
            text.len() <= 32 && text.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'-')
        }
        Capture::Protocol => matches!(text, [b'H' | b'h' | b'1'..=b'3', ..]) && text != b"https",
        Capture::Text(Field::Scheme) => matches!(text, b"http" | b"https" | b"HTTP" | b"HTTPS"),
        Capture::TlsVersion => text.starts_with(b"TLS"),
        _ => matches!(value.kind, Kind::Text | Kind::Number),
    }
}

/// A host by its name: letters among what names are made of.
fn is_named(text: &[u8]) -> bool {
    address::is_host_name(text) && text.iter().any(u8::is_ascii_alphabetic)
}
