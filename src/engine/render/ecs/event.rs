//! What happened: `event`, `message`, `error` and `tags`.

use std::borrow::Cow;

use super::Scribe;
use crate::engine::batch::{Action, ClientSource, Field, Kind, Level, Malformed, Row};
use crate::engine::redact::{self, Form};
use crate::engine::render::event_id::push_line_hash;
use crate::engine::render::facts::{action, dataset, is_attempt, level_of, outcome};
use crate::engine::render::json::{key, push_text};
use crate::engine::render::limits::{self, SHORT, TEXT, WORD};
use crate::engine::render::of_event::MESSAGE_PATH_MAX;
use crate::units::{Period, Timestamp};

/// A line from further ahead than this was written by a clock gone wrong.
const CLOCK_SKEW_MAX: Period = Period::from_secs(600);

/// Rules of one event that are named.
const RULES_MAX: usize = 64;

impl Scribe<'_, '_> {
    pub(super) fn event(&mut self, created: Timestamp) {
        let row = self.row;
        let event = self.json.open(r#""event":{"#);
        self.json.raw(classes(row));
        self.json.word(key!("action"), action(row).name());
        if let Some(outcome) = outcome(row) {
            self.json.word(key!("outcome"), outcome);
        }
        if let Some(reason) = row.auth.and_then(|auth| auth.reason) {
            self.json.word(key!("reason"), reason.name());
        }
        if !self.limits.minimal {
            self.field(key!("code"), "event.code", Field::Code, WORD);
        }
        self.json.number(key!("severity"), u64::from(level_of(row).severity()));
        if 1 < row.count {
            self.json.number(key!("count"), u64::from(row.count));
        }
        self.json.word(key!("dataset"), dataset(row));
        self.json.word(key!("module"), row.module.name());
        self.json.raw(r#""id":""#);
        self.json.out.extend_from_slice(&self.encoder.id.of(self.event));
        self.json.raw(r#"","#);
        // Whoever guesses what is missing could prove it by the hash.
        if let Some(line) = self.event.line_to_show().filter(|_| self.full) {
            self.json.raw(r#""hash":""#);
            push_line_hash(self.json.out, line);
            self.json.raw(r#"","#);
        }
        self.original();
        self.json.raw(r#""created":""#);
        self.encoder.created.push(created, self.json.out);
        self.json.raw(r#"","#);
        if let Some(duration) = row.duration_ns {
            self.json.number(key!("duration"), duration);
        }
        if self.full {
            self.period();
        }
        if !self.limits.minimal {
            self.sequence();
            self.timezone();
        }
        self.json.close(event, b'}');
    }

    /// The rules that match, each with its title in the same place.
    pub(super) fn rule(&mut self) {
        if self.fields.value(Field::RuleId).is_none() {
            return;
        }
        let rule = self.json.open(r#""rule":{"#);
        let lists = [
            (Field::RuleId, r#""id":["#, "rule.id"),
            (Field::RuleName, r#""name":["#, "rule.name"),
        ];
        for (field, start, name) in lists {
            let list = self.json.open(start);
            let values = self.event.rare().filter(|(known, _)| *known == field);
            for (_, value) in values.take(RULES_MAX) {
                self.json.item(name, value, SHORT);
            }
            self.json.close(list, b']');
        }
        self.json.close(rule, b'}');
    }

    fn original(&mut self) {
        let Some(line) = self.event.line_to_show() else { return };
        let max = match self.row.kind {
            Kind::ParseFailure => self.limits.unread,
            _ if self.encoder.encoder.keep_original => self.limits.original,
            _ => return,
        };
        if max == 0 {
            self.json.note_cut("event.original");
        } else {
            self.url_text(key!("original"), "event.original", line, Form::Text, max);
        }
    }

    fn period(&mut self) {
        let (start, end) = self.view.period();
        if let Some(start) = start {
            self.time("\"start\":\"", start);
        }
        if let Some(end) = end {
            self.time("\"end\":\"", end);
        }
    }

    /// A counter stands in for the position in inputs that are no file.
    fn sequence(&mut self) {
        if self.encoder.shared.is_empty() {
            self.json.number(key!("sequence"), self.row.offset);
        }
    }

    /// `event.timezone`; UTC goes without saying.
    fn timezone(&mut self) {
        let minutes = self.row.zone_minutes;
        if minutes == 0 {
            return;
        }
        let sign = if minutes < 0 { '-' } else { '+' };
        let (hours, minutes) = (minutes.unsigned_abs() / 60, minutes.unsigned_abs() % 60);
        let two = |value: u16| [b'0' + (value / 10 % 10) as u8, b'0' + (value % 10) as u8];
        self.json.raw(r#""timezone":""#);
        self.json.out.push(sign as u8);
        self.json.out.extend_from_slice(&two(hours));
        self.json.out.push(b':');
        self.json.out.extend_from_slice(&two(minutes));
        self.json.raw(r#"","#);
    }

    fn time(&mut self, key: &str, time: Timestamp) {
        self.json.raw(key);
        time.write_rfc3339(self.json.out);
        self.json.raw(r#"","#);
    }

    /// One line for people.
    pub(super) fn message(&mut self) {
        match self.row.kind {
            Kind::Access => self.request_message(),
            Kind::ServerError | Kind::Auth => {
                // Servers quote the request or the referrer in their messages.
                if let Some(message) = self.fields.value(Field::Message) {
                    let max = self.limits.message;
                    self.url_text(key!("message"), "message", message, Form::Text, max);
                }
            }
            Kind::ParseFailure => self.json.word(key!("message"), "this line could not be read"),
        }
    }

    /// `GET /members/ 401 bob 198.51.100.23`
    fn request_message(&mut self) {
        if self.limits.minimal {
            return;
        }
        self.json.raw(r#""message":""#);
        self.message_word(Field::Method, limits::TOKEN);
        // The target of CONNECT is no path.
        let place = match self.fields.value(Field::Path) {
            Some(_) => Field::Path,
            None => Field::Target,
        };
        self.message_word(place, MESSAGE_PATH_MAX);
        match self.row.status {
            0 => self.json.raw("-"),
            status => self.json.raw(itoa::Buffer::new().format(status)),
        }
        self.json.out.push(b' ');
        self.message_word(Field::User, self.limits.user);
        if self.row.client.is_some() {
            self.json.out.extend_from_slice(self.client.as_bytes());
        } else {
            self.message_word(Field::ClientAddress, WORD);
            self.json.out.pop();
        }
        self.json.raw(r#"","#);
    }

    /// A field of the summary and the blank behind it; `-` where there is none.
    fn message_word(&mut self, field: Field, max: usize) {
        let value = self.fields.value(field).unwrap_or(b"-");
        let shown = match field {
            Field::Target if !self.encoder.encoder.show_secrets => {
                redact::secrets(value, Form::Text)
            }
            _ => Cow::Borrowed(value),
        };
        // A cut here loses nothing: the field itself follows.
        push_text(self.json.out, &shown, max);
        self.json.out.push(b' ');
    }

    /// Why a line could not be read.
    pub(super) fn error(&mut self) {
        if self.row.kind == Kind::ParseFailure {
            let error = self.json.open(r#""error":{"#);
            let max = self.limits.message.min(TEXT);
            self.field(key!("message"), "error.message", Field::Error, max);
            self.json.close(error, b'}');
        }
    }

    pub(super) fn tags(&mut self, created: Timestamp) {
        let row = self.row;
        let tags = self.json.open(r#""tags":["#);
        if row.kind == Kind::Access && is_attempt(row) {
            self.json.raw(r#""login_attempt","#);
        }
        if row.malformed.is_some() {
            self.json.raw(r#""malformed_request","#);
        }
        if row.malformed == Some(Malformed::TlsBytes) {
            self.json.raw(r#""tls_on_plain","#);
        }
        if row.client_source == ClientSource::Ambiguous
            || self.fields.value(Field::Trailing).is_some()
        {
            self.json.raw(r#""lossy_parse","#);
        }
        if row.suspect_forged {
            self.json.raw(r#""suspect_forged","#);
        }
        if self.fields.value(Field::ThreatFeed).is_some() {
            self.json.raw(r#""ioc_match","#);
        }
        if created.plus(CLOCK_SKEW_MAX) < row.time {
            self.json.raw(r#""clock_skew","#);
        }
        self.json.close(tags, b']');
    }
}

/// `event.kind`, `.category` and `.type`: only the pairs that ECS permits.
fn classes(row: &Row) -> &'static str {
    match row.kind {
        Kind::Access if row.action == Action::Logout => {
            r#""kind":"event","category":["web","authentication"],"type":["access","end"],"#
        }
        Kind::Access if is_attempt(row) => {
            r#""kind":"event","category":["web","authentication"],"type":["access","start"],"#
        }
        Kind::Access => r#""kind":"event","category":["web"],"type":["access"],"#,
        Kind::ServerError if Level::Error <= row.level => {
            r#""kind":"event","category":["web"],"type":["error"],"#
        }
        Kind::ServerError => r#""kind":"event","category":["web"],"type":["info"],"#,
        Kind::Auth => match row.action {
            Action::SessionOpened => r#""kind":"event","category":["session"],"type":["start"],"#,
            Action::SessionClosed => r#""kind":"event","category":["session"],"type":["end"],"#,
            Action::Login | Action::AuthFailed => {
                r#""kind":"event","category":["authentication"],"type":["start"],"#
            }
            Action::Logout => r#""kind":"event","category":["authentication"],"type":["end"],"#,
            _ => r#""kind":"event","category":["authentication"],"type":["info"],"#,
        },
        Kind::ParseFailure => r#""kind":"pipeline_error","#,
    }
}
