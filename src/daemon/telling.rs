//! Who is told what of the alerts of a commit: silences and answers come in here.
//!
//! Asked of the store each time, so that an answer that a command has stored counts from the next
//! alert on.

use std::collections::BTreeSet;

use crate::engine::answer::incident_of;
use crate::engine::detect::incident::Incidents;
use crate::engine::detect::{Alert, AlertState};
use crate::engine::members::{Member, octets};
use crate::notify::{self, MailConfig, channel::ChannelConfig};
use crate::store::{NewMessage, Store, StoreError};
use crate::units::Timestamp;

/// Finds out what alerts need to be told: whether a silence covers them, whom a block would lock out,
/// and which incident they are a part of. `members` are log-ins that the same commit stores.
pub(super) fn prepare(
    (store, members): (&Store, &[Member]),
    incidents: &mut Incidents,
    alerts: &mut [Alert],
    now: Timestamp,
) -> Result<(), StoreError> {
    mute(store, alerts, now)?;
    look_for_members(store, members, alerts, now)?;
    // What a refused commit left is a part of its incident already.
    for alert in alerts.iter_mut().filter(|alert| alert.part.is_none()) {
        incidents.see(alert);
    }
    Ok(())
}

/// Marks the alerts that a silence covers. The end of an alert is told if its begin was.
fn mute(store: &Store, alerts: &mut [Alert], now: Timestamp) -> Result<(), StoreError> {
    if alerts.is_empty() {
        return Ok(());
    }
    let silences = store.silences(now)?;
    for alert in alerts.iter_mut().filter(|alert| alert.muted_by.is_none()) {
        alert.muted_by = match alert.state {
            AlertState::Resolved => store.muted_by(&alert.id)?,
            AlertState::Firing | AlertState::Escalated => {
                let silence = silences.iter().find(|silence| silence.scope.covers(alert));
                silence.map(|silence| silence.label())
            }
        };
    }
    Ok(())
}

/// Counts for each alert the users who logged in from its clients: those whom a block would lock out.
/// `fresh` are log-ins that the same commit stores.
fn look_for_members(
    store: &Store,
    fresh: &[Member],
    alerts: &mut [Alert],
    now: Timestamp,
) -> Result<(), StoreError> {
    let is_new = |alert: &&mut Alert| alert.members_90d.is_none();
    for alert in alerts.iter_mut().filter(is_new) {
        let nets = notify::blockable(alert);
        if nets.is_empty() {
            continue;
        }
        let mut users = BTreeSet::new();
        for net in &nets {
            let (first, last) = (octets(net.network()), octets(net.broadcast()));
            users.extend(store.members(first, last, now)?);
            let of_net = fresh.iter().filter(|one| (first..=last).contains(&one.net));
            users.extend(of_net.map(|one| one.user));
        }
        alert.members_90d = u32::try_from(users.len()).ok();
    }
    Ok(())
}

/// The messages about `alerts`, for the transaction that stores them.
pub(super) fn messages(
    store: &Store,
    alerts: &[Alert],
    (mail, channels): (&MailConfig, &[ChannelConfig]),
    now: Timestamp,
) -> Result<Vec<NewMessage>, StoreError> {
    let mut messages = Vec::new();
    for alert in alerts {
        let hush = store.hush(incident_of(alert), now)?;
        let to_people = notify::enqueue(alert, mail, now).into_iter().chain(
            channels
                .iter()
                .filter(|one| one.is_for_people())
                .filter_map(|one| one.enqueue(alert, now)),
        );
        messages.extend(to_people.filter_map(|message| notify::hold(message, alert, hush)));
        let programs = channels.iter().filter(|one| !one.is_for_people());
        messages.extend(programs.filter_map(|one| one.enqueue(alert, now)));
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::answer::{Scope, Silence};
    use crate::engine::detect::{RuleInfo, Severity, Step};
    use crate::store::{Commit, StoreReader};
    use crate::units::Period;

    const NOW: Timestamp = Timestamp::from_secs(1_795_161_600);

    fn alert(client: &str, state: AlertState) -> Alert {
        let rule =
            RuleInfo { id: "http.scan".into(), category: "web".into(), ..RuleInfo::default() };
        Alert {
            id: client.into(),
            state,
            rule,
            severity: Severity::High,
            at: NOW,
            group: vec![("client.net".into(), client.into())],
            ..Alert::default()
        }
    }

    struct Bench {
        store: Store,
        reader: StoreReader,
        _dir: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            let store = Store::open(dir.path()).expect("a store");
            let reader = StoreReader::open(dir.path()).expect("a reader");
            Self { store, reader, _dir: dir }
        }

        fn prepared(&self, members: &[Member], mut alert: Alert) -> Alert {
            let known = (&self.store, members);
            let alerts = std::slice::from_mut(&mut alert);
            prepare(known, &mut Incidents::default(), alerts, NOW).expect("prepared");
            alert
        }
    }

    fn member(address: &str, user: u8) -> Member {
        let net = octets(address.parse().expect("an address"));
        Member { net, user: [user; 8], day: crate::engine::members::day_of(NOW) }
    }

    #[test]
    fn members_are_those_of_the_store_and_of_the_commit_each_once() {
        let mut bench = Bench::new();
        let stored = [member("203.0.113.7", 1), member("203.0.113.8", 2)];
        let commit = Commit { members: &stored, ..Commit::default() };
        bench.store.commit(&commit, NOW).expect("commit");
        let fresh = [member("203.0.113.7", 1), member("203.0.113.7", 3), member("192.0.2.1", 4)];
        let of =
            |client: &str| bench.prepared(&fresh, alert(client, AlertState::Firing)).members_90d;
        assert_eq!(Some(2), of("203.0.113.7"));
        assert_eq!(Some(0), of("198.51.100.1"));
        assert_eq!(Some(3), of("203.0.113.0/24"), "a network has all of its addresses");
        assert_eq!(None, of("10.0.0.1"), "nobody blocks an own address");
        let over = bench.prepared(&fresh, alert("203.0.113.7", AlertState::Resolved));
        assert_eq!(Some(2), over.members_90d, "the list of whom to block looks at it, too");
    }

    #[test]
    fn a_silence_mutes_what_begins_and_leaves_the_end_of_what_was_told() {
        let mut bench = Bench::new();
        let told = [alert("203.0.113.7", AlertState::Firing)];
        bench.store.commit(&Commit { alerts: &told, ..Commit::default() }, NOW).expect("commit");
        let silence = Silence {
            at: NOW,
            until: NOW.plus(Period::from_secs(60)),
            reason: "a test".into(),
            scope: Scope { rules: vec!["http.*".into()], ..Scope::default() },
            ..Silence::default()
        };
        bench.reader.add_silence(&silence).expect("stored");
        let begin = bench.prepared(&[], alert("203.0.113.8", AlertState::Firing));
        assert_eq!(Some("silence 1: a test"), begin.muted_by.as_deref());
        assert_eq!(Some(Step::Opened), begin.part.map(|part| part.step));
        let end = bench.prepared(&[], alert("203.0.113.7", AlertState::Resolved));
        assert_eq!(None, end.muted_by);
    }
}
