//! What people say to alerts: somebody looks after it, not now, it was right, it was wrong.
//!
//! | file | |
//! |---|---|
//! | this one | [`Answer`], and where an alert stands after its answers ([`Standing`]) |
//! | `silence` | [`Silence`]: of whom or of which rules nothing is told until a day |
//! | `record` | [`Record`]: what the verdicts say of a rule, and which limit would suit them |
//!
//! Pure. Invariant: an answer never changes an alert or what is recorded; it decides only who is
//! told what of it from now on.

mod record;
mod silence;

use serde::{Deserialize, Serialize};

use super::detect::Alert;
use crate::units::Timestamp;

pub use record::{Precision, Proposal, Record, Records};
pub use silence::{Scope, Silence};

/// What somebody said.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// Somebody looks after it.
    #[default]
    Ack,
    /// Not now.
    Snooze,
    /// It was what the rule says.
    Confirm,
    /// It was something else, and harmless.
    FalsePositive,
    /// It was what the rule says, and allowed.
    Expected,
}

impl Reply {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Ack, Self::Snooze, Self::Confirm, Self::FalsePositive, Self::Expected];

    /// The name of the command, in the store and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Snooze => "snooze",
            Self::Confirm => "confirm",
            Self::FalsePositive => "false-positive",
            Self::Expected => "expected",
        }
    }

    /// The reply with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reply| reply.name() == name)
    }

    /// It says whether the rule was right.
    pub fn is_verdict(self) -> bool {
        matches!(self, Self::Confirm | Self::FalsePositive | Self::Expected)
    }
}

/// What somebody said to an alert or an incident, and when.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Answer {
    /// Its number in the store; 0 before it is there.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub reply: Reply,
    /// The incident that it is about.
    pub incident: String,
    /// The alert that it is about. That of the incident's id stands for all of them.
    pub alert: String,
    /// Until when nothing is told, for a snooze.
    pub until: Option<Timestamp>,
    /// The user of the system who said it, and the name of that user.
    pub uid: u32,
    /// The name; hostile text to whoever reads it.
    pub login: String,
    /// What else there is to say; hostile text.
    pub note: String,
}

impl Answer {
    /// The user by name, else by number.
    pub fn by(&self) -> String {
        by(&self.login, self.uid)
    }

    /// It is about the whole incident.
    pub fn is_of_incident(&self) -> bool {
        self.alert == self.incident
    }

    /// Those who were told of the incident hear no more of it: somebody looks after it, or has
    /// judged all of it.
    pub fn hushes(&self) -> bool {
        !self.reply.is_verdict() || self.is_of_incident()
    }
}

fn by(login: &str, uid: u32) -> String {
    if login.is_empty() || login == "-" { format!("uid {uid}") } else { login.to_owned() }
}

/// The id of the incident that `alert` belongs to; its own where nobody has asked.
pub fn incident_of(alert: &Alert) -> &str {
    alert.part.as_ref().map_or(&alert.id, |part| &part.incident)
}

/// Where an alert stands after all answers to it and its incident.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing<'a> {
    /// Whether the rule was right.
    pub verdict: Option<&'a Answer>,
    /// The last word about telling: looked after, or not now.
    pub attention: Option<&'a Answer>,
}

impl<'a> Standing<'a> {
    /// From `answers` to the incident of the alert `id`, oldest first. What was said to the alert
    /// itself goes before what was said to the whole incident.
    pub fn of(answers: &'a [Answer], id: &str) -> Self {
        let newest = |wanted: &dyn Fn(&Answer) -> bool| answers.iter().rfind(|one| wanted(one));
        let is_verdict = |one: &Answer| one.reply.is_verdict();
        let own = newest(&|one| is_verdict(one) && one.alert == id);
        Self {
            verdict: own.or_else(|| newest(&|one| is_verdict(one) && one.is_of_incident())),
            attention: newest(&|one| !is_verdict(one)),
        }
    }

    /// Nobody has said anything.
    pub fn is_unanswered(&self) -> bool {
        self.verdict.is_none() && self.attention.is_none()
    }
}

/// Nothing is told of an incident, unless it gets worse.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hush {
    /// Until this moment; for good where there is none.
    pub until: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(number: i64, reply: Reply, alert: &str) -> Answer {
        Answer { number, reply, incident: "a".into(), alert: alert.into(), ..Answer::default() }
    }

    #[test]
    fn replies_are_known_by_name() {
        for reply in Reply::ALL {
            assert_eq!(Some(reply), Reply::named(reply.name()));
            let json = serde_json::to_string(&reply).expect("JSON");
            assert_eq!(format!("\"{}\"", reply.name()), json);
        }
        assert_eq!(None, Reply::named("benign"));
    }

    #[track_caller]
    fn check(answers: &[Answer], id: &str, verdict: Option<i64>, attention: Option<i64>) {
        let standing = Standing::of(answers, id);
        let numbers = (
            standing.verdict.map(|answer| answer.number),
            standing.attention.map(|answer| answer.number),
        );
        assert_eq!((verdict, attention), numbers);
        assert_eq!(verdict.is_none() && attention.is_none(), standing.is_unanswered());
    }

    #[test]
    fn the_newest_word_counts_and_that_about_the_alert_itself_before_all() {
        check(&[], "a", None, None);
        let said = [
            answer(1, Reply::FalsePositive, "b"),
            answer(2, Reply::Ack, "b"),
            answer(3, Reply::Confirm, "a"),
            answer(4, Reply::Snooze, "a"),
        ];
        check(&said, "a", Some(3), Some(4));
        check(&said, "b", Some(1), Some(4));
        check(&said, "c", Some(3), Some(4));
        check(&said[..1], "c", None, None);
    }

    #[test]
    fn a_verdict_on_one_of_several_alerts_leaves_the_others_to_be_told() {
        assert!(answer(1, Reply::Ack, "b").hushes());
        assert!(answer(1, Reply::Confirm, "a").hushes());
        assert!(!answer(1, Reply::FalsePositive, "b").hushes());
    }
}
