//! Formats described by a template: literals and captures in turn.
//!
//! A template is compiled once into steps, each of which knows the literal that ends it, so that
//! a line is read in one pass from left to right with byte searches; no regular expression, no
//! allocation. Reading is all or nothing: fields are set only when the whole line fits.
//!
//! One kind of text has no sure end: an unquoted login name may hold any character, the literal
//! behind it too. Where the first possible end does not give a whole line of sound values, every
//! other end is tried (`Template::search`), so that nobody hides a request behind a name.

use super::capture::{Applier, Capture, TimeForm, Unit};
use super::columns::find_quote;
use super::combined;
use super::{Column, Context, Miss};
use crate::engine::batch::{Field, Module, Writer};

/// Captures in one template; more is a configuration error.
pub(super) const MAX_CAPTURES: usize = 64;

/// Ends that a search tries for each byte of a line. A name with a time behind it needs two where
/// the time stands in brackets, and one for each word near it where it does not.
const SEARCH_STEPS_PER_BYTE: usize = 32;

/// A part of a template before it is compiled.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Token {
    /// Text that stands in each line.
    Literal(Vec<u8>),
    /// A value, and its name for messages.
    Value(Capture, String),
}

/// Where a captured value ends.
#[derive(Clone, Debug, Eq, PartialEq)]
enum End {
    /// At the next place where the following literal stands.
    Literal,
    /// The same, but not behind a backslash: the value stands in quotes.
    Quote,
    /// At the next place behind as many as the value itself holds, and if the rest does not fit,
    /// at any other.
    Open(usize),
    /// Before a literal that is not a separator inside a list.
    List,
    /// At the next blank, or at the end of the line.
    Word,
    /// At the end of the line.
    Line,
}

#[derive(Clone, Debug)]
struct Step {
    capture: Capture,
    /// As the definition calls it: `$status`.
    name: Box<str>,
    end: End,
    /// Stands behind the value.
    literal: Box<[u8]>,
}

/// A compiled template.
#[derive(Clone, Debug)]
pub struct Template {
    name: &'static str,
    head: Box<[u8]>,
    steps: Vec<Step>,
    applier: Applier,
    /// Columns behind the last step are kept, not refused.
    trailing: bool,
    /// It is `combined`: nearly every line of it can be read by [`combined::locate`].
    is_combined: bool,
}

/// Start and end of each value.
type Values = [(u32, u32); MAX_CAPTURES];

impl Template {
    /// Compiles `tokens`; a complaint says which values cannot be told apart.
    pub(super) fn compile(
        name: &'static str,
        tokens: Vec<Token>,
        applier: Applier,
        trailing: bool,
    ) -> Result<Self, String> {
        let mut head = Vec::new();
        let mut steps: Vec<Step> = Vec::new();
        let mut last: Option<String> = None;
        for token in tokens {
            match (token, steps.last_mut()) {
                (Token::Literal(text), None) => head.extend_from_slice(&text),
                (Token::Literal(text), Some(step)) => {
                    let mut literal = step.literal.to_vec();
                    literal.extend_from_slice(&text);
                    step.literal = literal.into();
                    last = None;
                }
                (Token::Value(capture, name), _) => {
                    if let Some(before) = last.replace(name.clone()) {
                        return Err(format!(
                            "`{before}` and `{name}` stand side by side, so nobody can tell where \
                             one ends; put a separator between them"
                        ));
                    }
                    let name = name.into();
                    steps.push(Step { capture, name, end: End::Line, literal: Box::default() });
                }
            }
        }
        if !steps.iter().any(|step| step.capture != Capture::Skip) {
            return Err("there is no variable in it".to_owned());
        }
        if MAX_CAPTURES < steps.len() {
            return Err(format!("it has more than {MAX_CAPTURES} variables"));
        }
        keep_best(&mut steps, rank_of_time);
        keep_best(&mut steps, rank_of_duration);
        let mut before: &[u8] = &head;
        for step in &mut steps {
            step.end = end_of(&step.capture, before, &step.literal);
            before = &step.literal;
        }
        let is_combined = head.is_empty()
            && steps.iter().map(|step| &*step.literal).eq(combined::LITERALS.iter().copied());
        Ok(Self { name, head: head.into(), steps, applier, trailing, is_combined })
    }

    /// How many values it reads; of two templates that fit, the one that reads more is meant.
    pub(super) fn captures(&self) -> usize {
        let is_read = |step: &&Step| !matches!(step.capture, Capture::Skip | Capture::Ident);
        self.steps.iter().filter(is_read).count()
    }

    /// The names of the fields that its lines can have.
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.steps.iter().flat_map(|step| step.capture.names()).collect()
    }

    /// The program family whose lines these are, and the name of the format in their events.
    pub(super) fn identity(&self) -> (Module, &'static str) {
        (self.applier.module, self.name)
    }

    /// Reads one line into a row that holds nothing yet.
    pub(super) fn parse(
        &self,
        line: &[u8],
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<(), Miss> {
        let mut values = [(0u32, 0u32); MAX_CAPTURES];
        self.read(line, &mut values, cx, out)
    }

    /// Where each value of a line stands: what the definition calls it, and its bytes.
    pub(super) fn columns(
        &self,
        line: &[u8],
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<Vec<Column>, Miss> {
        let mut values = [(0u32, 0u32); MAX_CAPTURES];
        self.read(line, &mut values, cx, out)?;
        let columns = self.steps.iter().zip(values).map(|(step, (start, end))| Column {
            name: step.name.to_string(),
            range: start as usize..end as usize,
            sets: step.capture.sets(),
        });
        Ok(columns.collect())
    }

    /// Finds the values of a line and sets the fields.
    fn read(
        &self,
        line: &[u8],
        values: &mut Values,
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<(), Miss> {
        let mut read = match self.locate(line, values) {
            Some(rest) => self.apply(line, values, cx, out).map(|()| rest),
            None => Err(Miss::Shape),
        };
        if read != Ok(line.len()) && self.has_other_ends(line) {
            let mut found = self.search(line, values, false, cx);
            let fits = read.is_ok_and(|rest| self.is_rest(line, rest));
            if found.is_none() && !fits {
                found = self.search(line, values, true, cx);
            }
            if let Some(rest) = found {
                out.reset();
                read = self.apply(line, values, cx, out).map(|()| rest);
            }
        }
        let rest = read?;
        if rest < line.len() {
            if !self.is_rest(line, rest) {
                return Err(Miss::Shape);
            }
            out.set(Field::Trailing, &line[rest + 1..]);
        }
        out.row.format = self.name;
        out.row.module = self.applier.module;
        out.row.stamp = self.applier.stamp;
        Ok(())
    }

    /// A value without a sure end could end elsewhere: what ends it stands in the line twice.
    fn has_other_ends(&self, line: &[u8]) -> bool {
        self.steps.iter().filter(|step| matches!(step.end, End::Open(_))).any(|step| {
            step.literal.len() < 2
                || memchr::memmem::find_iter(line, &step.literal).nth(1).is_some()
        })
    }

    /// What stands from `at` on may follow the last value.
    fn is_rest(&self, line: &[u8], at: usize) -> bool {
        at == line.len() || (self.trailing && line[at] == b' ')
    }

    fn apply(
        &self,
        line: &[u8],
        values: &Values,
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<(), Miss> {
        let escaped = memchr::memchr(b'\\', line).is_some();
        for (step, (start, end)) in self.steps.iter().zip(values) {
            if step.capture != Capture::Skip {
                let value = &line[*start as usize..*end as usize];
                self.applier.apply(&step.capture, value, escaped, cx, out)?;
            }
        }
        Ok(())
    }

    /// Finds where each value starts and ends; answers where the template ends.
    fn locate(&self, line: &[u8], values: &mut Values) -> Option<usize> {
        if self.is_combined
            && let Some(located) = combined::locate(line)
        {
            values[..located.len()].copy_from_slice(&located);
            return Some(line.len());
        }
        self.locate_each(line, values)
    }

    /// The same step by step.
    fn locate_each(&self, line: &[u8], values: &mut Values) -> Option<usize> {
        if !line.starts_with(&self.head) {
            return None;
        }
        let mut at = self.head.len();
        for (step, value) in self.steps.iter().zip(values) {
            let mut end = step.find_end(line, at)?;
            if let End::Open(inside) = step.end {
                for _ in 0..inside {
                    end = step.find_end(line, end + 1)?;
                }
            }
            *value = (at as u32, end as u32);
            at = end + step.literal.len();
        }
        Some(at)
    }

    /// The same, over every end of the values that have no sure one, until each value is what it
    /// should be and, unless `with_rest`, nothing is left of the line.
    ///
    /// A name full of possible ends must not cost more than it is worth: short values are looked
    /// for near their start only, and the number of ends tried is bounded by a multiple of the
    /// length of the line, which is enough for all ends of one such value.
    fn search(
        &self,
        line: &[u8],
        values: &mut Values,
        with_rest: bool,
        cx: &mut Context<'_>,
    ) -> Option<usize> {
        if !line.starts_with(&self.head) {
            return None;
        }
        let (mut index, mut at) = (0, self.head.len());
        let mut from = at;
        // Values that may also end further on: their steps, and where to look next.
        let mut open: Vec<(usize, usize)> = Vec::new();
        for _ in 0..SEARCH_STEPS_PER_BYTE * line.len() + MAX_CAPTURES {
            let found = match self.steps.get(index) {
                None if at == line.len() || (with_rest && self.is_rest(line, at)) => {
                    return Some(at);
                }
                None => None,
                Some(step) => step
                    .find_near_end(line, at, from)
                    .filter(|end| self.applier.accepts(&step.capture, &line[at..*end], cx))
                    .map(|end| (step, end)),
            };
            if let Some((step, end)) = found {
                if matches!(step.end, End::Open(_)) {
                    open.push((index, end + 1));
                }
                values[index] = (at as u32, end as u32);
                at = end + step.literal.len();
                from = at;
                index += 1;
            } else if let Some(step) = self.steps.get(index)
                && matches!(step.end, End::Open(_))
                && let Some(end) = step.find_near_end(line, at, from)
            {
                // A time, say, that ends one blank too early.
                from = end + 1;
            } else {
                let (step, next) = open.pop()?;
                index = step;
                at = values[step].0 as usize;
                from = next;
            }
        }
        None
    }
}

impl Step {
    /// Where the value ends that is looked for from `from` on.
    fn find_end(&self, line: &[u8], from: usize) -> Option<usize> {
        let Some(first) = self.literal.first() else {
            let rest = line.get(from..)?;
            let word = memchr::memchr(b' ', rest).filter(|_| self.end != End::Line);
            return Some(word.map_or(line.len(), |length| from + length));
        };
        let mut at = from;
        loop {
            at += match self.end {
                End::Quote => find_quote(line.get(at..)?)?,
                _ => memchr::memchr(*first, line.get(at..)?)?,
            };
            if stands_at(&self.literal, &line[at..]) && !self.is_separator(line, at) {
                return Some(at);
            }
            at += 1;
        }
    }

    /// The same for the value that starts at `at`, no further on than such a value may be long.
    fn find_near_end(&self, line: &[u8], at: usize, from: usize) -> Option<usize> {
        let near = match self.capture.longest() {
            Some(longest) if !self.literal.is_empty() => at + longest + self.literal.len(),
            _ => line.len(),
        };
        self.find_end(&line[..near.min(line.len())], from)
    }

    /// In a list of addresses, a blank beside a comma or a colon ends an item, not the list.
    fn is_separator(&self, line: &[u8], at: usize) -> bool {
        self.end == End::List
            && self.literal.first() == Some(&b' ')
            && (line[..at].ends_with(b",")
                || line[..at].ends_with(b" :")
                || line[at..].starts_with(b" : "))
    }
}

/// The text begins with `literal`, whose first byte was seen there. Literals have one to four
/// bytes nearly always: comparing them here costs less than a call.
#[inline]
fn stands_at(literal: &[u8], text: &[u8]) -> bool {
    literal.len() <= text.len() && literal.iter().zip(text).skip(1).all(|(a, b)| a == b)
}

fn end_of(capture: &Capture, before: &[u8], literal: &[u8]) -> End {
    if let Capture::Time(form) = capture {
        // `20/Nov/2026:07:46:41 +0000` holds the blank that may stand behind it, too.
        let inside = match form {
            _ if !matches!(literal, [] | [b' ']) => 0,
            TimeForm::Clf => 1,
            TimeForm::Iso | TimeForm::Epoch | TimeForm::Any => 0,
            TimeForm::Pattern(pattern) => pattern.bytes().filter(|byte| *byte == b' ').count(),
        };
        return End::Open(inside);
    }
    if literal.is_empty() {
        return match capture {
            Capture::Text(_)
            | Capture::Label(_)
            | Capture::User
            | Capture::ServedUser
            | Capture::Upstream(_) => End::Line,
            _ => End::Word,
        };
    }
    match capture {
        Capture::Upstream(_) | Capture::Client => End::List,
        _ if before.ends_with(b"\"") && literal.starts_with(b"\"") => End::Quote,
        Capture::User
        | Capture::ServedUser
        | Capture::Label(_)
        | Capture::Text(_)
        | Capture::Host
        | Capture::ServerName
        | Capture::MappedPath => End::Open(0),
        _ => End::Literal,
    }
}

/// Of several values of one kind the one of the highest rank is kept, the first of equal ones.
fn keep_best(steps: &mut [Step], rank: fn(&Capture) -> u8) {
    let best = steps.iter().map(|step| rank(&step.capture)).max().unwrap_or(0);
    let mut kept = false;
    for step in steps {
        let rank = rank(&step.capture);
        if 0 < rank {
            if rank < best || kept {
                step.capture = Capture::Skip;
            } else {
                kept = true;
            }
        }
    }
}

/// The finest time: with a fraction, then with a zone that needs no months.
pub(super) fn rank_of_time(capture: &Capture) -> u8 {
    match capture {
        Capture::Time(TimeForm::Epoch) => 4,
        Capture::Time(TimeForm::Iso) => 3,
        Capture::Time(TimeForm::Clf) => 2,
        Capture::Time(TimeForm::Pattern(_)) => 1,
        _ => 0,
    }
}

/// The finest duration.
pub(super) fn rank_of_duration(capture: &Capture) -> u8 {
    match capture {
        Capture::Duration(Unit::Nanoseconds) => 4,
        Capture::Duration(Unit::Microseconds) => 3,
        Capture::Duration(Unit::Milliseconds) => 2,
        Capture::Duration(Unit::Seconds) => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::read;
    use super::super::{Format, Miss};

    proptest! {
        /// The short way through `combined` finds the values where the steps find them, or gives up.
        #[test]
        fn the_short_way_and_the_steps_agree(
            line in super::super::testing::mutated(&[concat!(
                "192.0.2.7 - - [20/Nov/2026:07:46:41 +0000] \"GET /a?b=c HTTP/1.1\" 200 1234 ",
                "\"https://www.example.org/\" \"Mozilla/5.0 (X11; Linux x86_64)\"",
            )]),
        ) {
            let Ok(Format::Template(template)) = Format::named("combined") else { unreachable!() };
            if let Some(short) = super::combined::locate(&line) {
                let mut values = [(0, 0); super::MAX_CAPTURES];
                let rest = template.locate_each(&line, &mut values);
                prop_assert_eq!(Some(line.len()), rest);
                prop_assert_eq!(&short[..], &values[..short.len()]);
            }
        }
    }

    #[test]
    fn the_short_way_is_taken() {
        let line =
            br#"192.0.2.7 - - [20/Nov/2026:07:46:41 +0000] "GET / HTTP/1.1" 200 12 "-" "curl""#;
        assert!(super::combined::locate(line).is_some());
    }

    /// How nginx writes what a client sent.
    fn nginx_escaped(text: &[u8]) -> String {
        let mut out = String::new();
        for byte in text {
            match byte {
                b'"' | b'\\' | ..0x20 | 0x7f.. => out.push_str(&format!("\\x{byte:02X}")),
                _ => out.push(char::from(*byte)),
            }
        }
        out
    }

    /// How Apache does.
    fn apache_escaped(text: &[u8]) -> String {
        let mut out = String::new();
        for byte in text {
            match byte {
                b'"' | b'\\' => out.extend(['\\', char::from(*byte)]),
                b'\n' => out.push_str("\\n"),
                b'\r' => out.push_str("\\r"),
                b'\t' => out.push_str("\\t"),
                ..0x20 | 0x7f.. => out.push_str(&format!("\\x{byte:02x}")),
                _ => out.push(char::from(*byte)),
            }
        }
        out
    }

    /// Names of users that look like the rest of a line.
    fn user() -> impl Strategy<Value = Vec<u8>> {
        const PARTS: [&[u8]; 14] = [
            b" [",
            b"] \"",
            b" ",
            b"-",
            b" - - [20/Nov/2020:00:00:00 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\"",
            b"[20/Nov/2020:00:00:00 +0000]",
            b"198.51.100.1",
            b"\" 200 17 ",
            b" 200 ",
            b"[",
            b"]",
            b"\\",
            b"\n",
            b"www.example.org:80 198.51.100.1 - - ",
        ];
        let part = prop_oneof![
            prop::sample::select(&PARTS[..]).prop_map(<[u8]>::to_vec),
            proptest::collection::vec(any::<u8>(), 0..8),
        ];
        proptest::collection::vec(part, 1..8)
            .prop_map(|parts| parts.concat())
            .prop_filter("a name the server writes as it is", |user| {
                !matches!(&user[..], b"" | b"-" | b"\"\"")
            })
    }

    /// The line of a refused log-in in each format whose user stands without quotes.
    fn lines(user: &str) -> Vec<(&'static str, String)> {
        let common = format!(
            "192.0.2.66 - {user} [20/Nov/2026:07:00:01 +0000] \"GET /members/ HTTP/1.1\" 401 179"
        );
        let combined = format!("{common} \"-\" \"-\"");
        vec![
            ("common", common),
            ("combined", combined.clone()),
            ("nginx_main", format!("{combined} \"-\"")),
            ("combinedio", format!("{combined} 120 240")),
            ("vhost_combined", format!("www.example.org:443 {combined}")),
            ("forwarded_combined", format!("\"203.0.113.1\" {combined}")),
        ]
    }

    fn read_named(name: &str, line: &str) -> Result<[String; 3], Miss> {
        let mut format = Format::named(name).expect("a name of the table");
        let facts = read(|line, cx, out| format.parse(line, cx, out), line.as_bytes())?;
        Ok(["client", "status", "user.name"].map(|name| facts[name].clone()))
    }

    proptest! {
        #[test]
        fn no_user_name_hides_who_was_refused(user in user()) {
            for escaped in [nginx_escaped(&user), apache_escaped(&user)] {
                for (name, line) in lines(&escaped) {
                    let expected =
                        ["192.0.2.66", "401", &String::from_utf8_lossy(&user)].map(str::to_owned);
                    prop_assert_eq!(Ok(expected), read_named(name, &line), "{}: {}", name, line);
                }
            }
        }
    }

    #[test]
    fn a_name_full_of_ends_costs_no_more_than_it_is_worth() {
        let user = " [20/Nov/2020:00:00:00 +0000] ".repeat(2000);
        for (name, line) in lines(&user) {
            let read = read_named(name, &line).expect("a line that is read");
            assert_eq!(["192.0.2.66", "401", &user].map(str::to_owned), read, "{name}");
        }
        // Neither a name nor a time stands in brackets, and the line fits in no way.
        let line = format!("{} 20/Nov/2026:07:00:01 +0000 40x", "a ".repeat(4000));
        let mut format = Format::written("$remote_user $time_local $status").expect("sound");
        let facts = read(|line, cx, out| format.parse(line, cx, out), line.as_bytes());
        assert!(facts.is_err());
    }
}
