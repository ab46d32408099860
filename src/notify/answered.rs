//! How people answer to an incident, and what they are told of it after they have.
//!
//! Invariant: whatever was answered, that an incident has got worse is told at once.

use super::channel::ChannelConfig;
use super::config::MailConfig;
use super::content;
use super::page::Block;
use crate::engine::answer::Hush;
use crate::engine::detect::{Alert, AlertState, Step};
use crate::store::NewMessage;
use crate::units::Timestamp;

/// What becomes of a message to people about `alert`: the end of an incident is not told where
/// somebody looks after it, and put off until a snooze is over.
pub fn hold(message: NewMessage, alert: &Alert, hush: Option<Hush>) -> Option<NewMessage> {
    let step = alert.part.as_ref().map(|part| part.step);
    match hush {
        Some(Hush { until: None }) if step == Some(Step::Closed) => None,
        Some(Hush { until: Some(until) }) if step == Some(Step::Closed) => {
            Some(NewMessage { due: message.due.max(until), ..message })
        }
        _ => Some(message),
    }
}

/// Messages that tell people at `until` that an incident still goes on. `alert` is the worst of it
/// that is open. The store gives them their names.
pub fn reminders(
    alert: &Alert,
    mail: &MailConfig,
    channels: &[ChannelConfig],
    until: Timestamp,
) -> Vec<NewMessage> {
    let mut reminder = alert.clone();
    let Some(part) = &mut reminder.part else { return Vec::new() };
    (part.step, part.before) = (Step::Reminded, Some(part.severity));
    if reminder.state == AlertState::Resolved {
        return Vec::new();
    }
    reminder.at = until;
    let people = channels.iter().filter(|channel| channel.is_for_people());
    let of_channels = people.filter_map(|channel| channel.enqueue(&reminder, until));
    super::enqueue(&reminder, mail, until).into_iter().chain(of_channels).collect()
}

/// Who among the receivers are people.
pub fn people(mail: &MailConfig, channels: &[ChannelConfig]) -> Vec<String> {
    let mails = mail.is_enabled().then(|| super::outbox::CHANNEL.to_owned());
    let channels = channels.iter().filter(|channel| channel.is_for_people());
    mails.into_iter().chain(channels.map(|channel| channel.name.clone())).collect()
}

/// How to answer while it goes on.
pub(super) fn replies(alert: &Alert) -> Vec<Block> {
    commands(alert, &REPLIES)
}

/// How to say whether it was right.
pub(super) fn verdicts(alert: &Alert) -> Vec<Block> {
    commands(alert, &VERDICTS)
}

/// What can be said while it goes on: what it means, the command, and what follows the code.
const REPLIES: [(&str, &str, &str); 4] = [
    ("why", "explain", ""),
    ("seen", "ack", ""),
    ("later", "snooze", " 4h"),
    ("quiet", "silence", " --for 8h --reason WHY"),
];
/// What can be said at any time.
const VERDICTS: [(&str, &str, &str); 3] =
    [("right", "confirm", ""), ("wrong", "false-positive", ""), ("known", "expected", "")];

/// Commands are for pasting, so they hold nothing but the digits of an id.
fn commands(alert: &Alert, rows: &[(&'static str, &str, &str)]) -> Vec<Block> {
    let Some(code) = plain_code(alert) else { return Vec::new() };
    let command = |(meaning, name, rest): &(&'static str, &str, &str)| {
        Block::Command(meaning, format!("gatewatch {name} {code}{rest}"))
    };
    rows.iter().map(command).collect()
}

/// The code, where it is safe to paste.
pub(super) fn plain_code(alert: &Alert) -> Option<String> {
    let code = content::code(alert);
    let is_plain = code.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    (is_plain && 1 < code.len()).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::detect::{Part, Severity};
    use crate::notify::samples;
    use crate::units::Period;

    fn alert(step: Step) -> Alert {
        let part = Part {
            incident: samples::spray().id,
            step,
            severity: Severity::High,
            before: None,
            alerts: 2,
            opened: samples::START,
            titles: Vec::new(),
            repeats: 0,
        };
        Alert { part: Some(part), ..samples::spray() }
    }

    /// When a message about `step` is due, if it is told at all.
    #[track_caller]
    fn check(step: Step, until: Option<Option<Timestamp>>, expected: Option<Timestamp>) {
        let message = NewMessage { due: samples::START, ..NewMessage::default() };
        let hush = until.map(|until| Hush { until });
        assert_eq!(expected, hold(message, &alert(step), hush).map(|message| message.due));
    }

    #[test]
    fn worse_is_told_at_once_and_the_end_is_not_or_later() {
        let now = Some(samples::START);
        let later = samples::START.plus(Period::from_secs(3600));
        for step in [Step::Opened, Step::Worsened, Step::Closed] {
            check(step, None, now);
        }
        check(Step::Worsened, Some(None), now);
        check(Step::Worsened, Some(Some(later)), now);
        check(Step::Closed, Some(None), None);
        check(Step::Closed, Some(Some(later)), Some(later));
    }

    #[test]
    fn people_are_reminded_and_programs_are_not() {
        let mail: MailConfig =
            toml::from_str("smtp = \"smtp://mail.example.org:25\"\nto = [\"a@example.org\"]")
                .expect("settings");
        let channels: Vec<ChannelConfig> = ["slack", "webhook"]
            .map(|kind| {
                let text =
                    format!("type = {kind:?}\nname = {kind:?}\nurl = \"https://a.example/\"");
                toml::from_str(&text).expect("settings")
            })
            .into();
        assert_eq!(vec!["mail", "slack"], people(&mail, &channels));
        let until = samples::START.plus(Period::from_secs(3600));
        let told = reminders(&alert(Step::Joined), &mail, &channels, until);
        let told: Vec<(&str, Timestamp)> =
            told.iter().map(|one| (one.channel.as_str(), one.due)).collect();
        assert_eq!(vec![("mail", until), ("slack", until)], told);
        let over = Alert { state: AlertState::Resolved, ..alert(Step::Closed) };
        assert!(reminders(&over, &mail, &channels, until).is_empty());
    }
}
