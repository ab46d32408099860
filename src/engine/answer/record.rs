//! What people's verdicts say of a rule: how often it is right, and what would make it more often.
//!
//! Pure arithmetic over alerts and their verdicts. Nothing here changes a rule: whoever knows the
//! machines decides.

use std::collections::BTreeMap;

use super::Reply;
use crate::engine::detect::Alert;

/// For an interval that holds the truth in nine of ten cases.
const Z: f64 = 1.644_853_626_951_472_2;

/// Verdicts before anything is proposed.
const JUDGED_MIN: u64 = 5;

/// A rule whose precision is surely below this one wastes people's time.
const PRECISION_MIN: f64 = 0.3;

/// Verdicts that a record holds; older ones count no more.
const JUDGED_MAX: usize = 1000;

/// Values named in a proposal.
const NAMED_MAX: usize = 3;

/// One alert of a rule, as its record needs it.
#[derive(Clone, Debug)]
struct Judged {
    reply: Reply,
    /// What the rule counted until the alert was over.
    observed: u64,
    /// The client or user whom it was about.
    about: Option<(&'static str, String)>,
}

/// The record of one rule.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Id of the rule.
    pub rule: String,
    /// Alerts.
    pub fired: u64,
    /// Alerts of which there was a mail.
    pub mailed: u64,
    /// Alerts that were muted.
    pub muted: u64,
    judged: Vec<Judged>,
    /// The limit that the newest alert reached, and its window in words.
    limit: (u64, String),
}

/// How often a rule is right: the share of its judged alerts that were confirmed, and the interval
/// in which that share lies in the long run (Wilson, 90 %).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Precision {
    /// Confirmed among judged.
    pub share: f64,
    /// At least, very likely.
    pub low: f64,
    /// At most, very likely.
    pub high: f64,
}

/// What would spare people the alerts that they called wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Proposal {
    /// A higher limit. It would have been silent about `spared` alerts that were called wrong, and
    /// about none that was confirmed.
    Limit {
        /// The limit that the rule has.
        from: u64,
        /// The one that is proposed.
        to: u64,
        /// The window.
        window: String,
        /// Alerts about which it would have been silent.
        spared: u64,
    },
    /// An entry of the allow-list for these values of `clients` or `users`, which were never
    /// confirmed.
    Allow {
        /// `clients` or `users`.
        field: &'static str,
        /// Whom.
        values: Vec<String>,
        /// Alerts about which it would have been silent.
        spared: u64,
    },
    /// No limit tells the right alerts from the wrong ones, and they are about too many.
    Neither,
}

/// The records of all rules.
#[derive(Clone, Debug, Default)]
pub struct Records(BTreeMap<String, Record>);

impl Records {
    /// Takes note of an alert as it was told last, with the verdict on it, and whether there was a
    /// mail about it. The newest comes first.
    pub fn add(&mut self, alert: &Alert, verdict: Option<Reply>, mailed: bool) {
        let new = || Record {
            rule: alert.rule.id.clone(),
            limit: (alert.threshold, alert.window.to_string()),
            ..Record::default()
        };
        self.0.entry(alert.rule.id.clone()).or_insert_with(new).add(alert, verdict, mailed);
    }

    /// One record for each rule, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.0.values()
    }
}

impl Record {
    fn add(&mut self, alert: &Alert, verdict: Option<Reply>, mailed: bool) {
        self.fired += 1;
        self.mailed += u64::from(mailed);
        self.muted += u64::from(alert.muted_by.is_some());
        if JUDGED_MAX <= self.judged.len() {
            return;
        }
        let about = |field, name| {
            let value: Option<&str> = alert.group_value(name);
            value.map(|value| (field, value.to_owned()))
        };
        self.judged.extend(verdict.map(|reply| Judged {
            reply,
            observed: alert.distinct.unwrap_or(alert.count),
            about: about("clients", "client.net").or_else(|| about("users", "user.name")),
        }));
    }

    /// Alerts with this verdict.
    pub fn count(&self, reply: Reply) -> u64 {
        self.judged.iter().filter(|one| one.reply == reply).count() as u64
    }

    /// Alerts that were judged.
    pub fn judged(&self) -> u64 {
        self.judged.len() as u64
    }

    /// How often it is right; nothing before the first verdict.
    pub fn precision(&self) -> Option<Precision> {
        let judged = self.judged();
        (0 < judged).then(|| wilson(self.count(Reply::Confirm), judged))
    }

    /// What would help, once enough verdicts say that the rule is seldom right.
    pub fn proposal(&self) -> Option<Proposal> {
        let precision = self.precision().filter(|_| JUDGED_MIN <= self.judged())?;
        if PRECISION_MIN <= precision.high {
            return None;
        }
        let found = self.allow().or_else(|| self.limit());
        Some(found.unwrap_or(Proposal::Neither))
    }

    /// Few clients or users make most of the wrong alerts, and none of the right ones.
    fn allow(&self) -> Option<Proposal> {
        let mut wrong: BTreeMap<(&'static str, &str), u64> = BTreeMap::new();
        for one in self.wrong() {
            if let Some((field, value)) = &one.about {
                *wrong.entry((field, value)).or_default() += 1;
            }
        }
        for (field, value) in self.right().filter_map(|one| one.about.as_ref()) {
            wrong.remove(&(*field, value.as_str()));
        }
        let field = wrong.iter().max_by_key(|(_, count)| **count)?.0.0;
        let mut all: Vec<(&str, u64)> = wrong
            .iter()
            .filter(|((one, _), _)| *one == field)
            .map(|((_, value), count)| (*value, *count))
            .collect();
        all.sort_by_key(|(value, count)| (std::cmp::Reverse(*count), *value));
        all.truncate(NAMED_MAX);
        let spared: u64 = all.iter().map(|(_, count)| count).sum();
        let values = all.iter().map(|(value, _)| (*value).to_owned()).collect();
        let most = 2 * spared >= self.wrong().count() as u64;
        (most && 1 < spared).then_some(Proposal::Allow { field, values, spared })
    }

    /// The lowest limit that no wrong alert reached, as long as every right one did.
    fn limit(&self) -> Option<Proposal> {
        let (from, window) = self.limit.clone();
        let least_right = self.right().map(|one| one.observed).min().unwrap_or(u64::MAX);
        let below = || self.wrong().filter(|one| one.observed < least_right);
        let to = below().map(|one| one.observed).max()?.checked_add(1)?;
        let spared = below().count() as u64;
        let helps = 1 < from && from < to && self.wrong().count() as u64 <= 2 * spared;
        helps.then_some(Proposal::Limit { from, to, window, spared })
    }

    fn right(&self) -> impl Iterator<Item = &Judged> {
        self.judged.iter().filter(|one| one.reply == Reply::Confirm)
    }

    fn wrong(&self) -> impl Iterator<Item = &Judged> {
        self.judged.iter().filter(|one| one.reply != Reply::Confirm)
    }
}

/// Wilson's score interval of `hits` among `all`.
fn wilson(hits: u64, all: u64) -> Precision {
    let n = all as f64;
    let share = hits as f64 / n;
    let z2 = Z * Z;
    let middle = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    Precision { share, low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::detect::RuleInfo;

    fn alert(client: &str, count: u64) -> Alert {
        Alert {
            rule: RuleInfo { id: "http.scan".into(), ..RuleInfo::default() },
            group: vec![("client.net".into(), client.into())],
            count,
            threshold: 20,
            window: crate::units::Period::from_secs(600),
            ..Alert::default()
        }
    }

    fn record(told: &[(&str, u64, Option<Reply>)]) -> Record {
        let mut records = Records::default();
        for (client, count, verdict) in told {
            records.add(&alert(client, *count), *verdict, true);
        }
        let record = records.iter().next().cloned();
        record.expect("a record")
    }

    #[test]
    fn wilson_is_what_the_tables_say() {
        // R: prop.test(c(8), c(10), conf.level = 0.9, correct = FALSE)
        let precision = wilson(8, 10);
        assert!((precision.low - 0.5407).abs() < 0.001, "{precision:?}");
        assert!((precision.high - 0.9317).abs() < 0.001, "{precision:?}");
        let none = wilson(0, 5);
        assert_eq!((0.0, 0.0), (none.share, none.low));
        assert!((none.high - 0.3511).abs() < 0.001, "{none:?}");
        assert_eq!(1.0, wilson(3, 3).high);
    }

    #[test]
    fn verdicts_are_counted_beside_what_fired() {
        use Reply::{Confirm, Expected, FalsePositive};
        let told = [
            ("a", 1, None),
            ("b", 1, Some(Confirm)),
            ("c", 1, Some(FalsePositive)),
            ("d", 1, Some(Expected)),
        ];
        let record = record(&told);
        assert_eq!((4, 4, 3), (record.fired, record.mailed, record.judged()));
        assert_eq!([1, 1, 1], [Confirm, FalsePositive, Expected].map(|one| record.count(one)));
        let share = record.precision().expect("judged").share;
        assert!((share - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(None, record.proposal(), "three verdicts are few");
    }

    #[test]
    fn one_client_that_makes_most_of_the_noise_is_allowed_rather_than_the_rule_changed() {
        let wrong = Some(Reply::FalsePositive);
        let mut told = vec![("192.0.2.10", 30, wrong); 9];
        told.push(("198.51.100.1", 25, wrong));
        let expected = Proposal::Allow {
            field: "clients",
            values: vec!["192.0.2.10".into(), "198.51.100.1".into()],
            spared: 10,
        };
        assert_eq!(Some(expected), record(&told).proposal());
    }

    #[test]
    fn noise_of_many_below_every_true_alert_asks_for_a_limit() {
        let clients: Vec<String> = (0..24).map(|n| format!("192.0.2.{n}")).collect();
        let mut told: Vec<(&str, u64, Option<Reply>)> = clients
            .iter()
            .enumerate()
            .map(|(n, client)| (client.as_str(), 20 + n as u64, Some(Reply::FalsePositive)))
            .collect();
        told.push(("203.0.113.1", 400, Some(Reply::Confirm)));
        let expected = Proposal::Limit { from: 20, to: 44, window: "10m".into(), spared: 24 };
        assert_eq!(Some(expected), record(&told).proposal());
        // A confirmed alert in the middle of the noise: a limit would lose it.
        told.push(("203.0.113.2", 20, Some(Reply::Confirm)));
        assert_eq!(Some(Proposal::Neither), record(&told).proposal());
    }

    #[test]
    fn a_rule_that_is_often_right_is_left_alone() {
        let mut told = vec![("192.0.2.10", 30, Some(Reply::FalsePositive)); 4];
        told.extend([("203.0.113.7", 30, Some(Reply::Confirm)); 3]);
        assert_eq!(None, record(&told).proposal());
    }
}
