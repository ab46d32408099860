//! What stands before an event in a syslog message: RFC 5424, RFC 3164, or nothing. Pure.
//!
//! Invariant: whatever the host is called and whoever wrote the line, a header has the words that
//! its RFC asks for, and none of them can be ended or added to by text from outside.

use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::config::Facility;
use crate::units::Timestamp;

/// What stands before an event.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HeaderForm {
    /// The syslog protocol of today.
    #[default]
    Rfc5424,
    /// What was written down in 2001 of what programs did: local time without a year.
    Rfc3164,
    /// Nothing: the event alone.
    None,
}

/// Structured data of RFC 5424.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StructuredData {
    /// Nothing.
    #[default]
    None,
    /// A number that counts messages, the program with its version, and that its times have a zone.
    Standard,
    /// These, and what is most searched for in an element of one's own.
    Fields,
}

/// Counters of messages begin again with 1 behind this (RFC 5424, section 7.3.1).
const SEQUENCE_MAX: u32 = 2_147_483_647;

/// RFC 3164, section 4.1.3: a tag has at most so many letters and digits.
const TAG_MAX: usize = 32;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Settings of a header.
#[derive(Clone, Debug)]
pub(super) struct HeaderSettings<'s> {
    pub(super) form: HeaderForm,
    pub(super) facility: Facility,
    /// For log-ins, where it is another one.
    pub(super) auth_facility: Option<Facility>,
    pub(super) app_name: &'s str,
    pub(super) pid: u32,
    pub(super) version: &'s str,
    pub(super) data: StructuredData,
    /// The name of one's own element.
    pub(super) sd_id: Option<&'s str>,
    pub(super) bom: bool,
    /// Of times in RFC 3164.
    pub(super) zone: TimeZone,
    /// An address of IPv6 may stand for the name of the host.
    pub(super) ipv6_host: bool,
    /// The event brings its own tag, as `CEF:` and `LEEF:` do.
    pub(super) tagged: bool,
}

/// Writes headers.
#[derive(Debug)]
pub(super) struct Header {
    form: HeaderForm,
    facility: Facility,
    auth_facility: Facility,
    /// RFC 5424: APP-NAME and PROCID with a blank before each. RFC 3164: the tag.
    program: String,
    /// Behind the number of the message, where messages are counted.
    origin: Option<String>,
    /// The beginning of one's own element.
    own: Option<String>,
    sequence: AtomicU32,
    bom: bool,
    zone: TimeZone,
    ipv6_host: bool,
}

/// What a message is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'s> {
    pub(super) severity: u8,
    pub(super) time: Timestamp,
    /// A word, as [`word`] makes it.
    pub(super) host: &'s str,
    /// MSGID.
    pub(super) id: &'static str,
    /// It is about a log-in.
    pub(super) auth: bool,
}

impl Header {
    pub(super) fn new(settings: &HeaderSettings<'_>) -> Self {
        let HeaderSettings { form, facility, app_name, pid, .. } = *settings;
        let program = match form {
            HeaderForm::Rfc5424 => format!(" {} {pid} ", word(app_name, 48)),
            HeaderForm::Rfc3164 if settings.tagged => " ".to_owned(),
            HeaderForm::Rfc3164 => format!(" {}[{pid}]: ", tag(app_name)),
            HeaderForm::None => String::new(),
        };
        let version = word(settings.version, 32).replace(['"', '\\', ']'], "");
        let origin = format!(
            "\"][origin software=\"gatewatch\" swVersion=\"{version}\"]\
                              [timeQuality tzKnown=\"1\"]"
        );
        Self {
            form,
            facility,
            auth_facility: settings.auth_facility.unwrap_or(facility),
            program,
            origin: (settings.data != StructuredData::None).then_some(origin),
            own: settings
                .sd_id
                .filter(|_| settings.data == StructuredData::Fields)
                .map(|id| format!("[{id}")),
            sequence: AtomicU32::new(0),
            bom: settings.bom,
            zone: settings.zone.clone(),
            ipv6_host: settings.ipv6_host,
        }
    }

    /// `host` as a word of the header.
    pub(super) fn host(&self, host: &str) -> String {
        let is_ipv6 = || host.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok();
        if !self.ipv6_host && is_ipv6() { "-".to_owned() } else { word(host, 255) }
    }

    /// Writes all up to where parameters of one's own element may follow; [`Header::end`] must.
    pub(super) fn begin(&self, subject: Subject<'_>, out: &mut Vec<u8>) {
        match self.form {
            HeaderForm::Rfc5424 => self.rfc5424(subject, out),
            HeaderForm::Rfc3164 => self.rfc3164(subject, out),
            HeaderForm::None => (),
        }
    }

    /// `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA `
    fn rfc5424(&self, subject: Subject<'_>, out: &mut Vec<u8>) {
        self.priority(subject, out);
        out.extend_from_slice(b"1 ");
        // Three digits: some receivers damage a time with more.
        subject.time.write_rfc3339(out);
        out.push(b' ');
        out.extend_from_slice(subject.host.as_bytes());
        out.extend_from_slice(self.program.as_bytes());
        out.extend_from_slice(subject.id.as_bytes());
        match &self.origin {
            None => out.extend_from_slice(b" -"),
            Some(origin) => {
                let last = self.sequence.load(Relaxed);
                let next = if last == SEQUENCE_MAX { 1 } else { last + 1 };
                self.sequence.store(next, Relaxed);
                out.extend_from_slice(b" [meta sequenceId=\"");
                out.extend_from_slice(itoa::Buffer::new().format(next).as_bytes());
                out.extend_from_slice(origin.as_bytes());
                out.extend_from_slice(self.own.as_deref().unwrap_or_default().as_bytes());
            }
        }
    }

    /// There is an element of one's own, for which parameters are wanted.
    pub(super) fn has_own(&self) -> bool {
        self.form == HeaderForm::Rfc5424 && self.own.is_some()
    }

    /// Ends the header.
    pub(super) fn end(&self, out: &mut Vec<u8>) {
        if self.form != HeaderForm::Rfc5424 {
            return;
        }
        if self.own.is_some() {
            out.push(b']');
        }
        out.push(b' ');
        if self.bom {
            out.extend_from_slice("\u{feff}".as_bytes());
        }
    }

    /// `<PRI>Mmm dd HH:MM:SS HOST TAG[PID]: `
    fn rfc3164(&self, subject: Subject<'_>, out: &mut Vec<u8>) {
        self.priority(subject, out);
        let time = jiff::Timestamp::from_nanosecond(i128::from(subject.time.0));
        let time = self.zone.to_datetime(time.unwrap_or(jiff::Timestamp::MAX));
        let month = MONTHS[usize::from(time.month().unsigned_abs()) - 1];
        let (day, hour, minute, second) = (time.day(), time.hour(), time.minute(), time.second());
        let text = format!("{month} {day:>2} {hour:02}:{minute:02}:{second:02} ");
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(subject.host.as_bytes());
        out.extend_from_slice(self.program.as_bytes());
    }

    fn priority(&self, subject: Subject<'_>, out: &mut Vec<u8>) {
        let facility = if subject.auth { self.auth_facility } else { self.facility };
        let priority = facility as u16 * 8 + u16::from(subject.severity);
        out.push(b'<');
        out.extend_from_slice(itoa::Buffer::new().format(priority).as_bytes());
        out.push(b'>');
    }
}

/// `text` as a word of the header: printable ASCII without blanks, or `-` when nothing is left.
pub(super) fn word(text: &str, max: usize) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(max).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

fn tag(text: &str) -> String {
    let tag: String = text.chars().filter(char::is_ascii_alphanumeric).take(TAG_MAX).collect();
    if tag.is_empty() { "gatewatch".to_owned() } else { tag }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(form: HeaderForm) -> HeaderSettings<'static> {
        HeaderSettings {
            form,
            facility: Facility::Local4,
            auth_facility: None,
            app_name: "gate watch",
            pid: 812,
            version: "0.1.0",
            data: StructuredData::None,
            sd_id: None,
            bom: false,
            zone: TimeZone::fixed(jiff::tz::offset(-5)),
            ipv6_host: true,
            tagged: false,
        }
    }

    #[track_caller]
    fn check(settings: &HeaderSettings<'_>, auth: bool, expected: &str) {
        // 2026-11-02T03:06:41.007Z
        let time = Timestamp::from_ms(1_793_588_801_007);
        let subject = Subject { severity: 4, time, host: "web1", id: "auth", auth };
        let mut out = Vec::new();
        let header = Header::new(settings);
        header.begin(subject, &mut out);
        header.end(&mut out);
        assert_eq!(expected, String::from_utf8(out).expect("UTF-8"));
    }

    #[test]
    fn each_form_has_its_words() {
        let new = settings(HeaderForm::Rfc5424);
        check(&new, true, "<164>1 2026-11-02T03:06:41.007Z web1 gatewatch 812 auth - ");
        let old = settings(HeaderForm::Rfc3164);
        check(&old, true, "<164>Nov  1 22:06:41 web1 gatewatch[812]: ");
        let tagged = HeaderSettings { tagged: true, ..old };
        check(&tagged, true, "<164>Nov  1 22:06:41 web1 ");
        check(&settings(HeaderForm::None), true, "");
    }

    #[test]
    fn log_ins_can_have_a_facility_of_their_own() {
        let own = Some(Facility::Authpriv);
        let settings = HeaderSettings { auth_facility: own, ..settings(HeaderForm::Rfc3164) };
        check(&settings, true, "<84>Nov  1 22:06:41 web1 gatewatch[812]: ");
        check(&settings, false, "<164>Nov  1 22:06:41 web1 gatewatch[812]: ");
    }

    #[test]
    fn structured_data_counts_messages_and_begins_again() {
        let data = StructuredData::Standard;
        let settings = HeaderSettings { data, bom: true, ..settings(HeaderForm::Rfc5424) };
        check(
            &settings,
            true,
            "<164>1 2026-11-02T03:06:41.007Z web1 gatewatch 812 auth [meta sequenceId=\"1\"]\
             [origin software=\"gatewatch\" swVersion=\"0.1.0\"][timeQuality tzKnown=\"1\"] \u{feff}",
        );
        let own =
            HeaderSettings { data: StructuredData::Fields, sd_id: Some("x@1"), ..settings.clone() };
        let text = {
            let mut out = Vec::new();
            let time = Timestamp::from_ms(0);
            let subject = Subject { severity: 4, time, host: "web1", id: "auth", auth: true };
            let header = Header::new(&own);
            header.begin(subject, &mut out);
            assert!(header.has_own());
            out.extend_from_slice(b" src=\"192.0.2.7\"");
            header.end(&mut out);
            String::from_utf8(out).expect("UTF-8")
        };
        let end = "[timeQuality tzKnown=\"1\"][x@1 src=\"192.0.2.7\"] \u{feff}";
        assert!(text.ends_with(end), "{text}");
        let header = Header::new(&settings);
        header.sequence.store(SEQUENCE_MAX - 1, Relaxed);
        for expected in ["\"2147483647\"", "\"1\""] {
            let time = Timestamp::from_ms(0);
            let subject = Subject { severity: 4, time, host: "web1", id: "auth", auth: true };
            let mut out = Vec::new();
            header.begin(subject, &mut out);
            let text = String::from_utf8(out).expect("UTF-8");
            assert!(text.contains(&format!("[meta sequenceId={expected}]")), "{text}");
        }
    }

    #[test]
    fn a_receiver_that_knows_no_ipv6_gets_no_such_host() {
        let settings = HeaderSettings { ipv6_host: false, ..settings(HeaderForm::Rfc5424) };
        let header = Header::new(&settings);
        let found = ["2001:db8::7", "[2001:db8::7]", "192.0.2.7", "web1"].map(|h| header.host(h));
        assert_eq!(["-", "-", "192.0.2.7", "web1"], found);
    }

    #[test]
    fn a_name_cannot_forge_the_header() {
        assert_eq!("a-<134>1b", word("a- <134>1\n b", 255));
        assert_eq!("-", word("\u{e9} \t", 255));
        assert_eq!("abc", word("abcdef", 3));
        assert_eq!(("ab1", "gatewatch"), (tag("a]: b\n1").as_str(), tag("[]").as_str()));
    }
}
