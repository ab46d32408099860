//! From an alert to a mail: subject, headers, text and HTML. Pure.
//!
//! Invariant: no header line is made by text from a log. Such text is on one line before it gets
//! here (`text::visible`), and the mail library encodes whatever is not plain ASCII.

use std::time::{Duration, UNIX_EPOCH};

use lettre::Message;
use lettre::message::header::{
    ContentTransferEncoding, ContentType, Date, HeaderName, HeaderValue,
};
use lettre::message::{Body, Mailbox, MultiPart, SinglePart};
use serde::{Deserialize, Serialize};

use super::content::{self, MailContext};
use super::error::MailError;
use super::page::Page;
use super::text::{local, visible};
use crate::engine::detect::{Alert, AlertState, Severity};
use crate::units::Timestamp;

/// A mail, ready but for its sender and recipients.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RenderedMail {
    /// At most 90 characters.
    pub subject: String,
    /// With its angle brackets; the same whenever the same transition is rendered.
    pub message_id: String,
    /// The mail that this one answers.
    pub in_reply_to: Option<String>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// Moment of the `Date` header.
    pub date: Timestamp,
    /// The text form, complete in itself.
    pub text: String,
    /// The HTML form, where there is one.
    pub html: Option<String>,
    /// Name as a file, without its directory.
    pub file_name: String,
}

/// The mail of one transition of one alert.
pub fn render(alert: &Alert, context: &MailContext, now: Timestamp) -> RenderedMail {
    let page = content::alert_page(alert, context, now);
    let resolved = alert.state == AlertState::Resolved;
    let stamp = local(alert.at, &jiff::tz::TimeZone::UTC, "%Y%m%dT%H%M%SZ");
    let transition = content::transition(alert);
    let name = format!("{stamp}-{}-{transition}.eml", token(&content::code(alert)));
    let mut mail =
        from_page(&page, content::subject(alert, context.min_severity), context, now, name);
    let own = format!("{}.{transition}", token(&alert.id));
    // One thread for all mails about an incident: they answer the one that opened it.
    let first = alert.part.as_ref().map_or(&alert.id, |part| &part.incident);
    let first = format!("{}.firing", token(first));
    mail.in_reply_to = (own != first).then(|| message_id(&first, context));
    mail.message_id = message_id(&own, context);
    mail.headers.extend([
        ("X-Gatewatch-Rule", visible(&alert.rule.id, 80)),
        ("X-Gatewatch-Severity", alert.severity.name().to_owned()),
        ("X-Gatewatch-Alert", token(&alert.id)),
    ]);
    if let Some(part) = &alert.part {
        mail.headers.push(("X-Gatewatch-Incident", token(&part.incident)));
    }
    // Only what may mean that somebody is inside asks for attention by itself.
    if alert.severity == Severity::Critical && !resolved {
        mail.headers.push(("Importance", "high".to_owned()));
    }
    mail
}

/// The one mail that tells all `alerts` when the hourly limit is reached. `key` is the outbox
/// number of the first of them, so that the same storm always has the same Message-ID.
pub fn render_storm(
    alerts: &[Alert],
    key: i64,
    context: &MailContext,
    now: Timestamp,
) -> RenderedMail {
    let count = alerts.len();
    let lead = [
        "The limit of alert mails is reached, so these alerts come in one mail, the worst first. Up to \
         four critical ones an hour still come by themselves.",
        "Mails come again one by one when an hour has passed with fewer alerts. Nothing is lost: \
         the store keeps each alert.",
    ];
    let title = format!("{count} more {}", if count == 1 { "alert" } else { "alerts" });
    let page = content::list_page("STORM", title, &lead, alerts, context);
    let subject = format!("[gatewatch] STORM: {count} more alerts, {}", worst(alerts));
    list_mail(&page, subject, "storm", key, context, now)
}

/// The mail that lists what is of medium severity and came while another one had just left; `key` is
/// the number of the first of them.
pub fn render_bundle(
    alerts: &[Alert],
    key: i64,
    context: &MailContext,
    now: Timestamp,
) -> RenderedMail {
    let lead = [
        "Alerts of medium severity come at once after a quiet time; those that follow come together, \
         an hour later, the worst first. What is worse than medium never waits.",
    ];
    let title = format!("{} more alerts of medium severity", alerts.len());
    let page = content::list_page("TOGETHER", title, &lead, alerts, context);
    let subject = format!("[gatewatch] {} more alerts, {}", alerts.len(), worst(alerts));
    list_mail(&page, subject, "together", key, context, now)
}

/// The one mail about alerts that were raised while old lines were read.
pub fn render_backfill(
    alerts: &[Alert],
    key: i64,
    context: &MailContext,
    now: Timestamp,
) -> RenderedMail {
    let were = match alerts.len() {
        1 => "1 alert was".to_owned(),
        count => format!("{count} alerts were"),
    };
    let lead = [
        "These lines were in the logs before gatewatch read them, so what they tell is over or has \
         gone on for a while. Look at the times.",
    ];
    let page = content::list_page(
        "OLD LINES",
        format!("{were} raised while old lines were read"),
        &lead,
        alerts,
        context,
    );
    let subject = format!("[gatewatch] {were} raised while old lines were read, {}", worst(alerts));
    list_mail(&page, subject, "old-lines", key, context, now)
}

/// The mail of `notify test`; `nonce` tells two tests apart.
pub fn render_test(context: &MailContext, now: Timestamp, nonce: u64) -> RenderedMail {
    let when = local(now, &context.zone, "%a %-d %b %Y %H:%M:%S %Z");
    let host = visible(&context.host, 60);
    let text = format!(
        "This is a test. gatewatch {} on {host} can send alert mails.\n\nWritten {when}. Nothing \
         happened; there is nothing to do.\n",
        visible(&context.version, 20)
    );
    RenderedMail {
        subject: format!("[gatewatch] test mail from {host}"),
        message_id: message_id(&format!("test.{nonce:016x}"), context),
        in_reply_to: None,
        headers: standard_headers(context),
        date: now,
        text,
        html: None,
        file_name: format!("{}-test.eml", local(now, &jiff::tz::TimeZone::UTC, "%Y%m%dT%H%M%SZ")),
    }
}

/// A mail that somebody else has written, such as the weekly report, on its way in the outbox.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Letter {
    /// Subject line.
    pub subject: String,
    /// Text form.
    pub text: String,
    /// HTML form; must be safe already.
    pub html: String,
    /// Recipients; those of `[mail]` where empty.
    #[serde(default)]
    pub to: Vec<String>,
}

/// The mail of a letter; `key` names it for ever, such as `report.2026-W47`.
pub fn render_letter(
    letter: &Letter,
    key: &str,
    context: &MailContext,
    now: Timestamp,
) -> RenderedMail {
    let stamp = local(now, &jiff::tz::TimeZone::UTC, "%Y%m%dT%H%M%SZ");
    RenderedMail {
        subject: visible(&letter.subject, 160),
        message_id: message_id(&token(key), context),
        in_reply_to: None,
        headers: standard_headers(context),
        date: now,
        text: letter.text.clone(),
        html: Some(letter.html.clone()),
        file_name: format!("{stamp}-{}.eml", token(key)),
    }
}

impl RenderedMail {
    /// The message as it goes to the server.
    pub fn message(&self, from: &Mailbox, to: &[Mailbox]) -> Result<Vec<u8>, MailError> {
        let date = UNIX_EPOCH + Duration::from_secs(self.date.secs());
        let mut builder = Message::builder()
            .from(from.clone())
            .header(Date::new(date))
            .message_id(Some(self.message_id.clone()))
            .subject(self.subject.clone());
        for mailbox in to {
            builder = builder.to(mailbox.clone());
        }
        if let Some(id) = &self.in_reply_to {
            builder = builder.in_reply_to(id.clone()).references(id.clone());
        }
        for (name, value) in &self.headers {
            let name = HeaderName::new_from_ascii_str(name);
            builder = builder.raw_header(HeaderValue::new(name, value.clone()));
        }
        let plain = part(&self.text, ContentType::TEXT_PLAIN)?;
        let message = match &self.html {
            None => builder.singlepart(plain),
            Some(html) => {
                let parts = MultiPart::alternative().boundary(self.boundary());
                let html = part(html, ContentType::TEXT_HTML)?;
                builder.multipart(parts.singlepart(plain).singlepart(html))
            }
        };
        message.map(|message| message.formatted()).map_err(|e| MailError::Message(e.to_string()))
    }

    /// `=_` cannot occur in quoted-printable text, so no content can end its part early.
    fn boundary(&self) -> String {
        format!("=_{}", token(self.message_id.split('@').next().unwrap_or_default()))
    }
}

/// Quoted-printable whatever the content: 7bit would let a log line look like a MIME boundary.
fn part(content: &str, kind: ContentType) -> Result<SinglePart, MailError> {
    // Both kinds of line ending in one mail make some readers show every line twice as high.
    let content = content.replace("\r\n", "\n").replace('\n', "\r\n");
    let body = Body::new_with_encoding(content, ContentTransferEncoding::QuotedPrintable)
        .map_err(|_| MailError::Message("text that cannot be encoded".into()))?;
    Ok(SinglePart::builder().header(kind).body(body))
}

fn from_page(
    page: &Page,
    subject: String,
    context: &MailContext,
    now: Timestamp,
    file_name: String,
) -> RenderedMail {
    RenderedMail {
        subject,
        message_id: String::new(),
        in_reply_to: None,
        headers: standard_headers(context),
        date: now,
        text: page.text(),
        html: Some(page.html()),
        file_name,
    }
}

fn list_mail(
    page: &Page,
    subject: String,
    kind: &str,
    key: i64,
    context: &MailContext,
    now: Timestamp,
) -> RenderedMail {
    let stamp = local(now, &jiff::tz::TimeZone::UTC, "%Y%m%dT%H%M%SZ");
    let mut mail = from_page(page, subject, context, now, format!("{stamp}-{kind}.eml"));
    mail.message_id = message_id(&format!("{kind}.{key}"), context);
    mail
}

fn standard_headers(context: &MailContext) -> Vec<(&'static str, String)> {
    vec![
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("X-Auto-Response-Suppress", "All".to_owned()),
        ("List-Id", format!("gatewatch alerts <alerts.gatewatch.{}>", host(context))),
    ]
}

/// `1 critical, 3 high`
fn worst(alerts: &[Alert]) -> String {
    let counts = Severity::ALL.iter().rev().map(|severity| {
        (severity, alerts.iter().filter(|alert| alert.severity == *severity).count())
    });
    let shown: Vec<String> = counts
        .filter(|(_, count)| *count != 0)
        .take(2)
        .map(|(severity, count)| format!("{count} {severity}"))
        .collect();
    shown.join(", ")
}

fn message_id(left: &str, context: &MailContext) -> String {
    format!("<{left}@gatewatch.{}>", host(context))
}

/// The machine's name as it may stand in an address.
fn host(context: &MailContext) -> String {
    let kept: String = token(&context.host).chars().take(100).collect();
    match kept.trim_matches(['.', '-']) {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// Only what may stand in a Message-ID and in a file name.
fn token(text: &str) -> String {
    let valid = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    text.chars().filter(valid).take(120).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;

    use super::*;
    use crate::notify::samples;

    /// Every header that gatewatch or the mail library writes.
    const HEADERS: &[&str] = &[
        "Auto-Submitted",
        "Content-Transfer-Encoding",
        "Content-Type",
        "Date",
        "From",
        "Importance",
        "In-Reply-To",
        "List-Id",
        "MIME-Version",
        "Message-ID",
        "References",
        "Subject",
        "To",
        "X-Auto-Response-Suppress",
        "X-Gatewatch-Alert",
        "X-Gatewatch-Rule",
        "X-Gatewatch-Severity",
    ];

    fn formatted(mail: &RenderedMail) -> String {
        let from: Mailbox = "gatewatch <alerts@example.org>".parse().unwrap();
        let to: Mailbox = "analyst@example.org".parse().unwrap();
        String::from_utf8(mail.message(&from, &[to]).expect("a message")).expect("ASCII")
    }

    fn header_names(message: &str) -> Vec<String> {
        let (head, _) = message.split_once("\r\n\r\n").expect("an empty line after the headers");
        let starts = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
        starts.map(|line| line.split_once(':').expect("a header").0.to_owned()).collect()
    }

    /// Compares with the golden file, or rewrites it under `UPDATE_GOLDEN=1`.
    #[track_caller]
    fn golden(path: &Path, actual: &str) {
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, actual).expect("a writable golden file");
        }
        let expected = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(expected, actual, "{} (UPDATE_GOLDEN=1 rewrites it)", path.display());
    }

    #[test]
    fn the_mails_look_like_their_golden_files() {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mail");
        for (name, mail) in samples::mails(&dir) {
            golden(&dir.join(format!("{name}.txt")), &mail.text);
            golden(&dir.join(format!("{name}.html")), mail.html.as_deref().unwrap_or_default());
            let message = formatted(&mail);
            let (head, _) = message.split_once("\r\n\r\n").expect("headers and body");
            golden(
                &dir.join(format!("{name}.headers")),
                &format!("{}\n", head.replace("\r\n", "\n")),
            );
            assert!(message.len() < 100_000, "{name} has {} bytes", message.len());
            let widest = mail.text.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(92), "{name} is {widest:?} columns wide");
        }
    }

    #[test]
    fn a_resolved_alert_answers_its_first_mail() {
        let mut alert = samples::spray();
        let context = samples::context();
        let firing = render(&alert, &context, alert.at);
        alert.state = AlertState::Resolved;
        let resolved = render(&alert, &context, alert.at);
        assert_eq!(Some(&firing.message_id), resolved.in_reply_to.as_ref());
        assert_ne!(firing.message_id, resolved.message_id);
        assert!(resolved.subject.starts_with("[gatewatch] RESOLVED HIGH "), "{}", resolved.subject);
        let message = formatted(&resolved);
        assert!(message.contains(&format!("References: {}", firing.message_id)), "{message}");
    }

    #[test]
    fn a_new_line_in_a_login_name_starts_no_header() {
        let mut alert = samples::spray();
        alert.group = vec![("user.name".into(), "x\r\nBcc: all@example.org\r\n\r\n<html>".into())];
        alert.rule.id = "r\nX-Evil: 1".into();
        let message = formatted(&render(&alert, &samples::context(), alert.at));
        let names: BTreeSet<String> = header_names(&message).into_iter().collect();
        assert!(names.iter().all(|name| HEADERS.contains(&name.as_str())), "{names:?}");
        let shown = "x\\r\\nBcc";
        assert!(message.contains(shown), "{message}");
    }

    #[test]
    fn log_text_cannot_end_its_part() {
        let mut alert = samples::spray();
        let own = render(&alert, &samples::context(), alert.at).boundary();
        alert.summary = format!("--{own}--");
        alert.evidence[0].line = format!("--{own}--");
        let message = formatted(&render(&alert, &samples::context(), alert.at));
        assert_eq!(1, message.matches(&format!("--{own}--")).count(), "the real end");
        assert_eq!(2, message.matches(&format!("\r\n--{own}\r\n")).count(), "the two parts");
    }

    fn hostile() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[\r\n\t\0<>&\"'a-zA-Z:@ ]{0,80}",
            Just("\r\nBcc: x@example.org\r\n\r\n<script>alert(1)</script>".to_owned()),
            Just("</div><img src=http://203.0.113.9/x onerror=alert(1)>".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn log_text_makes_no_header_and_no_markup(texts in prop::collection::vec(hostile(), 12)) {
            let mut alert = samples::spray();
            let [id, rule, title, group, summary, user, site, path, line, file, event, advice] =
                <[String; 12]>::try_from(texts).expect("twelve");
            alert.id = id;
            (alert.rule.id, alert.rule.title, alert.rule.advice) = (rule, title, vec![advice]);
            alert.group = vec![("user.name".into(), group), ("site".into(), site.clone())];
            alert.summary = summary;
            (alert.users, alert.sites, alert.paths) = (vec![user], vec![site], vec![path]);
            alert.evidence.truncate(1);
            alert.evidence[0].line = line;
            alert.evidence[0].file = file;
            alert.evidence[0].event_id = event;
            let mail = render(&alert, &samples::context(), alert.at);
            prop_assert!(mail.subject.chars().count() <= 90, "{}", mail.subject);
            let message = formatted(&mail);
            prop_assert!(message.is_ascii());
            for name in header_names(&message) {
                prop_assert!(HEADERS.contains(&name.as_str()), "header `{name}`");
            }
            let html = mail.html.expect("an HTML form");
            prop_assert_eq!(samples::tags(&html), samples::tags_of_spray());
            for tag in ["<script", "<img", "<a ", " href", "url("] {
                prop_assert!(!html.contains(tag), "{}", html);
            }
            let raw = mail.text.contains(|c: char| c != '\n' && c.is_control());
            prop_assert!(!raw, "{}", mail.text.escape_debug());
        }
    }
}
