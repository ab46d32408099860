//! Decides which alert mails leave when, and which ones together. No I/O, no clock.
//!
//! The dispatcher owns one [`Mailer`] and obeys it: it tells what waits and what happened
//! ([`Input`]), the machine answers what to do next ([`Action`]).
//!
//! Invariant: in any hour at most `max_per_hour` mails leave and in any day at most `max_per_day`, and
//! besides them in an hour one that lists what they had no room for, and four for critical alerts.
//! Whatever waits is told or given up, never forgotten.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::config::MailConfig;
use crate::engine::detect::Severity;
use crate::io::Chance;
use crate::units::{Period, Timestamp};

const HOUR: Period = Period::from_secs(3600);
const DAY: Period = Period::from_secs(86_400);
const BACKOFF_MS_MIN: u64 = 60_000;
const BACKOFF_MS_MAX: u64 = 30 * 60_000;
/// Mails an hour for critical alerts when the others have used up the limit.
const CRITICAL_RESERVE: usize = 4;

/// The settings that decide.
#[derive(Clone, Copy, Debug)]
pub struct MailerLimits {
    /// Mails in an hour.
    pub max_per_hour: u32,
    /// Mails in a day.
    pub max_per_day: u32,
    /// What is of medium severity or less is told at once when nothing of the kind was told for as
    /// long, and then once in as long.
    pub bundle: Period,
    /// A message that waited for longer is given up.
    pub retry_for: Period,
}

impl MailerLimits {
    /// Those that the settings say.
    pub fn of(config: &MailConfig) -> Self {
        Self {
            max_per_hour: config.max_per_hour,
            max_per_day: config.max_per_day,
            bundle: config.bundle,
            retry_for: config.retry_for,
        }
    }
}

/// A message that waits in the outbox.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pending {
    /// Its number; smaller ones came earlier.
    pub id: i64,
    /// How bad its alert is.
    pub severity: Severity,
    /// Its alert was raised while old lines were read.
    pub backfill: bool,
    /// It is no alert but a letter, such as the weekly report: the limit is not for it.
    pub letter: bool,
    /// The incident whose beginning or worsening it tells; 0 for what is not told together.
    pub incident: u64,
    /// When it was put there.
    pub created: Timestamp,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// All messages that wait now.
    Due(Vec<Pending>),
    /// The parcel last sent was taken.
    Accepted,
    /// The parcel last sent was not taken.
    Failed {
        /// The way is blocked for every mail; otherwise only this one was refused.
        blocks_all: bool,
    },
}

/// Messages that leave in one mail.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Parcel {
    /// A mail of its own.
    One(i64),
    /// One mail about an incident that got worse before anybody was told; the last is its worst.
    Incident(Vec<i64>),
    /// One mail that lists what is of medium severity and waited for the next one of its kind.
    Bundle(Vec<i64>),
    /// One mail that lists what the limits hold back.
    Storm(Vec<i64>),
    /// One mail that lists what old lines raised.
    Backfill(Vec<i64>),
}

impl Parcel {
    /// The messages in it; never empty.
    pub fn ids(&self) -> &[i64] {
        match self {
            Self::One(id) => std::slice::from_ref(id),
            Self::Incident(ids) | Self::Bundle(ids) | Self::Storm(ids) | Self::Backfill(ids) => ids,
        }
    }
}

/// What to do next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Send this, then report `Accepted` or `Failed`.
    Send(Parcel),
    /// Give these up: they waited for too long.
    Expire(Vec<i64>),
    /// Nothing to do before this moment, unless something happens.
    WaitUntil(Timestamp),
    /// Nothing to do until something happens.
    Idle,
}

/// The mails of the last day; kept over a restart, so that a crash loop cannot flood anybody.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Sent {
    /// Mails under the limits.
    pub ordinary: VecDeque<Timestamp>,
    /// Mails from the reserve for critical alerts.
    pub critical: VecDeque<Timestamp>,
    /// The last mail that listed what was held back; none when an hour passed without need.
    pub storm: Option<Timestamp>,
    /// The last mail about what is of medium severity.
    pub bundle: Option<Timestamp>,
}

/// The state of the channel.
pub struct Mailer {
    limits: MailerLimits,
    sent: Sent,
    chance: Box<dyn Chance>,
    /// In the order of sending: letters, then the worst first, then the oldest.
    pending: Vec<Pending>,
    sending: Option<(Parcel, Budget)>,
    failures: u32,
    retry_at: Timestamp,
}

/// What a mail is counted under.
#[derive(Clone, Copy, Debug)]
enum Budget {
    Free,
    Ordinary,
    /// An ordinary one, after which others of medium severity wait.
    Medium,
    Critical,
    Storm,
}

impl Mailer {
    /// Continues with what was sent in the last day.
    pub fn new(limits: MailerLimits, sent: Sent, chance: Box<dyn Chance>) -> Self {
        let (pending, retry_at) = (Vec::new(), Timestamp::default());
        Self { limits, sent, chance, pending, sending: None, failures: 0, retry_at }
    }

    /// What was sent in the last day, to be kept.
    pub fn sent(&self) -> &Sent {
        &self.sent
    }

    /// Attempts that failed since the last mail that left, for as long as the way is blocked.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When the way that is blocked is tried again.
    pub fn retry_at(&self) -> Timestamp {
        self.retry_at
    }

    /// Takes note of `input` at `now` and answers what to do.
    pub fn handle(&mut self, now: Timestamp, input: Input) -> Action {
        self.note(now, input);
        self.next_action(now)
    }

    /// Takes note of `input` at `now`, where the caller looks at the outbox before it goes on.
    pub fn note(&mut self, now: Timestamp, input: Input) {
        match input {
            Input::Due(pending) => {
                self.pending = pending;
                self.pending.sort_by_key(|p| (!p.letter, std::cmp::Reverse(p.severity), p.id));
            }
            Input::Accepted => self.accepted(now),
            Input::Failed { blocks_all } => {
                self.take_parcel();
                if blocks_all {
                    self.retry_at = now.plus_ms(self.backoff_ms(self.failures));
                    self.failures = self.failures.saturating_add(1);
                }
            }
        }
    }

    /// How long a message waits that was refused for itself `attempts` times before.
    pub fn backoff_ms(&mut self, attempts: u32) -> u64 {
        let doubled = BACKOFF_MS_MIN.saturating_mul(1 << attempts.min(16)).min(BACKOFF_MS_MAX);
        // A tenth to either side, so that many machines do not call at the same second.
        doubled * 9 / 10 + self.chance.next_u64() % (doubled / 5)
    }

    fn accepted(&mut self, now: Timestamp) {
        match self.take_parcel() {
            Budget::Free => (),
            Budget::Ordinary => self.sent.ordinary.push_back(now),
            Budget::Medium => {
                self.sent.ordinary.push_back(now);
                self.sent.bundle = Some(now);
            }
            Budget::Critical => self.sent.critical.push_back(now),
            Budget::Storm => self.sent.storm = Some(now),
        }
        self.failures = 0;
        self.retry_at = Timestamp::default();
    }

    fn take_parcel(&mut self) -> Budget {
        let (parcel, budget) = self.sending.take().expect("an answer follows a parcel");
        self.pending.retain(|pending| !parcel.ids().contains(&pending.id));
        budget
    }

    fn next_action(&mut self, now: Timestamp) -> Action {
        if self.sending.is_some() {
            return Action::Idle;
        }
        let expired: Vec<i64> = self
            .pending
            .iter()
            .filter(|pending| self.limits.retry_for <= now.since(pending.created))
            .map(|pending| pending.id)
            .collect();
        if !expired.is_empty() {
            self.pending.retain(|pending| !expired.contains(&pending.id));
            return Action::Expire(expired);
        }
        if self.pending.is_empty() {
            return Action::Idle;
        }
        // A clock that was set back must not make us wait for the time it once showed.
        let latest = now.plus_ms(BACKOFF_MS_MAX * 2);
        if now < self.retry_at && self.retry_at <= latest {
            return Action::WaitUntil(self.retry_at);
        }
        self.next_parcel(now)
    }

    fn next_parcel(&mut self, now: Timestamp) -> Action {
        self.forget_old(now);
        let room = self.room(now);
        let reserve = CRITICAL_RESERVE.saturating_sub(self.sent.critical.len());
        let first = self.pending[0];
        if first.letter {
            return self.send(Parcel::One(first.id), Budget::Free);
        }
        let storm_over = self.sent.storm.map(|time| time.plus(HOUR));
        // After one summary the next hour's alerts are summed up too, until they fit again.
        let storming = match storm_over {
            Some(over) => now < over || room < self.pending.len(),
            None => room == 0,
        };
        if !storming {
            self.sent.storm = None;
            let old = self.ids(|pending| pending.backfill);
            if first.backfill && 1 < old.len() {
                return self.send(Parcel::Backfill(old), Budget::Ordinary);
            }
            return self.next_ordinary(first, now);
        }
        if first.severity == Severity::Critical && !first.backfill && 0 < reserve {
            let parcel = self.with_its_incident(first);
            return self.send(parcel, Budget::Critical);
        }
        match storm_over {
            Some(over) if now < over => Action::WaitUntil(over),
            _ => {
                let all = self.ids(|pending| !pending.letter);
                self.send(Parcel::Storm(all), Budget::Storm)
            }
        }
    }

    /// Mails that the limits still allow.
    fn room(&self, now: Timestamp) -> usize {
        let of_day = self.sent.ordinary.len();
        let of_hour = self.sent.ordinary.iter().filter(|time| now.since(**time) < HOUR).count();
        let in_hour = (self.limits.max_per_hour as usize).saturating_sub(of_hour);
        in_hour.min((self.limits.max_per_day as usize).saturating_sub(of_day))
    }

    /// What is worse than medium at once; the rest at once too when it is the first for a while, else
    /// together. `first` is the worst that waits.
    fn next_ordinary(&mut self, first: Pending, now: Timestamp) -> Action {
        if Severity::Medium < first.severity {
            let parcel = self.with_its_incident(first);
            return self.send(parcel, Budget::Ordinary);
        }
        let next = self.sent.bundle.map(|time| time.plus(self.limits.bundle));
        if let Some(next) = next.filter(|next| now < *next) {
            return Action::WaitUntil(next);
        }
        let parcel = self.with_its_incident(first);
        let all = self.ids(|pending| !pending.letter);
        let is_all = parcel.ids().len() == all.len();
        let parcel =
            if is_all || self.limits.bundle.ms() == 0 { parcel } else { Parcel::Bundle(all) };
        self.send(parcel, Budget::Medium)
    }

    /// The message, with all that wait and tell of the same incident.
    fn with_its_incident(&self, first: Pending) -> Parcel {
        let is_same = |pending: &&Pending| {
            pending.incident == first.incident && !pending.backfill && !pending.letter
        };
        let mut same: Vec<&Pending> = self.pending.iter().filter(is_same).collect();
        if first.incident == 0 || same.len() < 2 {
            return Parcel::One(first.id);
        }
        same.sort_by_key(|pending| (pending.severity, pending.id));
        Parcel::Incident(same.iter().map(|pending| pending.id).collect())
    }

    fn send(&mut self, parcel: Parcel, budget: Budget) -> Action {
        self.sending = Some((parcel.clone(), budget));
        Action::Send(parcel)
    }

    fn ids(&self, wanted: impl Fn(&Pending) -> bool) -> Vec<i64> {
        let mut ids: Vec<i64> =
            self.pending.iter().filter(|pending| wanted(pending)).map(|p| p.id).collect();
        ids.sort_unstable();
        ids
    }

    /// Times after `now` come from a clock that was set back; they count no more.
    fn forget_old(&mut self, now: Timestamp) {
        let recent = |within| move |time: &Timestamp| *time <= now && now.since(*time) < within;
        self.sent.ordinary.retain(recent(DAY));
        self.sent.critical.retain(recent(HOUR));
        self.sent.bundle = self.sent.bundle.filter(|time| *time <= now);
        self.sent.storm = self.sent.storm.filter(|time| *time <= now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Seeded;

    const LIMITS: MailerLimits = MailerLimits {
        max_per_hour: 3,
        max_per_day: 40,
        bundle: Period::from_secs(0),
        retry_for: Period::from_secs(72 * 3600),
    };
    const START: Timestamp = Timestamp::from_secs(1_795_160_800);

    fn mailer() -> Mailer {
        Mailer::new(LIMITS, Sent::default(), Box::new(Seeded::new(1)))
    }

    fn pending(id: i64, severity: Severity) -> Pending {
        Pending { id, severity, backfill: false, letter: false, incident: 0, created: START }
    }

    fn after(seconds: u64) -> Timestamp {
        START.plus_ms(seconds * 1000)
    }

    /// Sends everything `waiting` allows at `now`; what is left and the last action come back.
    fn drain(mailer: &mut Mailer, now: Timestamp, waiting: &[Pending]) -> (Vec<Parcel>, Action) {
        let mut parcels = Vec::new();
        let mut action = mailer.handle(now, Input::Due(waiting.to_vec()));
        while let Action::Send(parcel) = action {
            parcels.push(parcel);
            action = mailer.handle(now, Input::Accepted);
        }
        (parcels, action)
    }

    #[test]
    fn what_waits_about_one_incident_leaves_in_one_mail_the_worst_last() {
        let of = |id, severity, incident| Pending { incident, ..pending(id, severity) };
        let due = vec![
            of(1, Severity::Medium, 7),
            of(2, Severity::High, 8),
            of(3, Severity::Critical, 7),
            of(4, Severity::High, 7),
            of(5, Severity::Medium, 0),
            of(6, Severity::Medium, 0),
        ];
        let mut mailer = mailer();
        let mut sent = Vec::new();
        let mut action = mailer.handle(START, Input::Due(due));
        while let Action::Send(parcel) = action {
            sent.push(parcel);
            action = mailer.handle(START, Input::Accepted);
        }
        let expected = vec![
            Parcel::Incident(vec![1, 4, 3]),
            Parcel::One(2),
            Parcel::One(5),
            Parcel::Storm(vec![6]),
        ];
        assert_eq!(expected, sent);
    }

    #[test]
    fn the_worst_go_first_and_each_alone_while_there_is_room() {
        let waiting = [
            pending(1, Severity::Medium),
            pending(2, Severity::Critical),
            pending(3, Severity::High),
        ];
        let (parcels, action) = drain(&mut mailer(), START, &waiting);
        assert_eq!(vec![Parcel::One(2), Parcel::One(3), Parcel::One(1)], parcels);
        assert_eq!(Action::Idle, action);
    }

    #[test]
    fn over_the_limit_one_mail_tells_the_rest_and_the_next_hour_is_summed_up() {
        let mut mailer = mailer();
        let waiting: Vec<Pending> = (1..=6).map(|id| pending(id, Severity::High)).collect();
        let (parcels, _) = drain(&mut mailer, START, &waiting);
        assert_eq!(Parcel::Storm(vec![4, 5, 6]), parcels[3]);
        // Nothing more within the hour, then one mail, because there is no room for five.
        let waiting: Vec<Pending> = (7..=11).map(|id| pending(id, Severity::High)).collect();
        let (parcels, action) = drain(&mut mailer, after(60), &waiting);
        assert_eq!((vec![], Action::WaitUntil(after(3600))), (parcels, action));
        let (parcels, _) = drain(&mut mailer, after(3600), &waiting);
        assert_eq!(vec![Parcel::Storm(vec![7, 8, 9, 10, 11])], parcels);
        // A quiet hour ends it.
        let (parcels, _) = drain(&mut mailer, after(7200), &[pending(12, Severity::High)]);
        assert_eq!(vec![Parcel::One(12)], parcels);
    }

    #[test]
    fn the_first_of_medium_severity_leaves_at_once_and_the_next_ones_together() {
        let limits = MailerLimits { bundle: HOUR, max_per_hour: 12, ..LIMITS };
        let mut mailer = Mailer::new(limits, Sent::default(), Box::new(Seeded::new(1)));
        let medium = |id| pending(id, Severity::Medium);
        assert_eq!((vec![Parcel::One(1)], Action::Idle), drain(&mut mailer, START, &[medium(1)]));
        let waiting = [medium(2), pending(3, Severity::High), medium(4)];
        assert_eq!(
            (vec![Parcel::One(3)], Action::WaitUntil(after(3600))),
            drain(&mut mailer, after(60), &waiting)
        );
        assert_eq!(
            (vec![Parcel::Bundle(vec![2, 4])], Action::Idle),
            drain(&mut mailer, after(3600), &[medium(2), medium(4)])
        );
        // Worse news of the same incident does not wait, and takes along what does.
        let of = |id, severity| Pending { incident: 7, ..pending(id, severity) };
        let waiting = [of(5, Severity::Medium), of(6, Severity::High)];
        let (parcels, _) = drain(&mut mailer, after(3700), &waiting);
        assert_eq!(vec![Parcel::Incident(vec![5, 6])], parcels);
    }

    #[test]
    fn over_the_limit_of_the_day_each_hour_is_summed_up() {
        let limits = MailerLimits { max_per_day: 4, ..LIMITS };
        let mut mailer = Mailer::new(limits, Sent::default(), Box::new(Seeded::new(1)));
        let mut mails = Vec::new();
        for hour in 0..30 {
            let waiting: Vec<Pending> =
                (1..=2).map(|id| pending(10 * hour + id, Severity::High)).collect();
            let (parcels, _) = drain(&mut mailer, after(3600 * hour as u64), &waiting);
            mails.extend(parcels);
        }
        let singles = mails.iter().filter(|parcel| matches!(parcel, Parcel::One(_))).count();
        let storms = mails.iter().filter(|parcel| matches!(parcel, Parcel::Storm(_))).count();
        assert_eq!((8, 26), (singles, storms), "{mails:?}");
    }

    #[test]
    fn critical_alerts_have_a_reserve_of_four() {
        let mut mailer = mailer();
        let waiting: Vec<Pending> = (1..=4).map(|id| pending(id, Severity::High)).collect();
        drain(&mut mailer, START, &waiting);
        let waiting: Vec<Pending> = (5..=10).map(|id| pending(id, Severity::Critical)).collect();
        let (parcels, action) = drain(&mut mailer, after(10), &waiting);
        assert_eq!((5..=8).map(Parcel::One).collect::<Vec<_>>(), parcels);
        assert_eq!(Action::WaitUntil(after(3600)), action);
    }

    #[test]
    fn old_lines_are_summed_up_and_letters_are_free() {
        let old = |id| Pending { backfill: true, ..pending(id, Severity::Critical) };
        let letter = Pending { letter: true, ..pending(4, Severity::Info) };
        let waiting = [old(1), old(2), pending(3, Severity::High), letter];
        let (parcels, _) = drain(&mut mailer(), START, &waiting);
        let expected = vec![Parcel::One(4), Parcel::Backfill(vec![1, 2]), Parcel::One(3)];
        assert_eq!(expected, parcels);
    }

    #[test]
    fn a_dead_server_is_tried_less_and_less_often() {
        let mut mailer = mailer();
        let mut now = START;
        let mut action = mailer.handle(now, Input::Due(vec![pending(1, Severity::High)]));
        for minutes in [1, 2, 4, 8, 16, 30, 30, 30] {
            assert_eq!(Action::Send(Parcel::One(1)), action);
            mailer.note(now, Input::Failed { blocks_all: true });
            action = mailer.handle(now, Input::Due(vec![pending(1, Severity::High)]));
            let Action::WaitUntil(then) = action else { panic!("{action:?}") };
            let waited = then.since(now).ms();
            let expected = minutes * 60_000;
            assert!((expected * 9 / 10..=expected * 11 / 10).contains(&waited), "{waited} ms");
            now = then;
            action = mailer.handle(now, Input::Due(vec![pending(1, Severity::High)]));
        }
        mailer.note(now, Input::Accepted);
        assert_eq!(0, mailer.failures());
    }

    #[test]
    fn one_refused_mail_does_not_hold_up_the_next() {
        let mut mailer = mailer();
        let waiting = vec![pending(1, Severity::High), pending(2, Severity::High)];
        mailer.handle(START, Input::Due(waiting));
        let action = mailer.handle(START, Input::Failed { blocks_all: false });
        assert_eq!(Action::Send(Parcel::One(2)), action);
    }

    #[test]
    fn what_waited_too_long_is_given_up() {
        let fresh = Pending { created: after(72 * 3600 - 1), ..pending(2, Severity::High) };
        let action =
            mailer().handle(after(72 * 3600), Input::Due(vec![pending(1, Severity::High), fresh]));
        assert_eq!(Action::Expire(vec![1]), action);
    }

    #[test]
    fn a_restart_keeps_the_count_of_the_hour() {
        let mut before = mailer();
        let waiting: Vec<Pending> = (1..=3).map(|id| pending(id, Severity::High)).collect();
        drain(&mut before, START, &waiting);
        let state = serde_json::to_string(before.sent()).expect("JSON");
        let sent = serde_json::from_str(&state).expect("the same");
        let mut mailer = Mailer::new(LIMITS, sent, Box::new(Seeded::new(2)));
        let (parcels, _) = drain(&mut mailer, after(60), &[pending(4, Severity::High)]);
        assert_eq!(vec![Parcel::Storm(vec![4])], parcels);
    }

    /// Goal: whatever arrives, whatever the server does and whenever the program dies, the limits
    /// hold in every hour and every message is told or given up.
    ///
    /// Method: two days of random alerts, failures and restarts for each of 200 seeds; a failure
    /// prints its seed.
    #[test]
    fn the_limits_hold_and_nothing_is_forgotten() {
        for seed in 1..=200 {
            simulate(seed);
        }
    }

    fn simulate(seed: u64) {
        let mut chance = Seeded::new(seed);
        let mut roll = move |n: u64| chance.next_u64() % n;
        let mut mailer = Mailer::new(LIMITS, Sent::default(), Box::new(Seeded::new(seed)));
        let (mut now, mut next_id) = (START, 1);
        let mut waiting: Vec<Pending> = Vec::new();
        let mut mails: Vec<Timestamp> = Vec::new();
        while next_id < 150 || !waiting.is_empty() {
            if next_id < 150 && roll(3) == 0 {
                for _ in 0..=roll(8) {
                    let severity = Severity::ALL[2 + roll(3) as usize];
                    let backfill = roll(9) == 0;
                    let fresh = Pending { created: now, backfill, ..pending(next_id, severity) };
                    waiting.push(fresh);
                    next_id += 1;
                }
            }
            if roll(10) == 0 {
                let sent = mailer.sent().clone();
                mailer = Mailer::new(LIMITS, sent, Box::new(Seeded::new(seed + 1)));
            }
            match mailer.handle(now, Input::Due(waiting.clone())) {
                Action::Send(_) if roll(4) == 0 => {
                    mailer.note(now, Input::Failed { blocks_all: roll(2) == 0 });
                }
                Action::Send(parcel) => {
                    mails.push(now);
                    waiting.retain(|pending| !parcel.ids().contains(&pending.id));
                    mailer.note(now, Input::Accepted);
                }
                Action::Expire(ids) => waiting.retain(|pending| !ids.contains(&pending.id)),
                Action::WaitUntil(then) => {
                    assert!(now < then, "seed {seed}: waits for the past");
                    now = then;
                }
                Action::Idle => assert!(waiting.is_empty(), "seed {seed}: idle with alerts left"),
            }
            now = now.plus_ms(1000 * roll(400));
            assert!(now < after(40 * 24 * 3600), "seed {seed}: never done");
        }
        let most = LIMITS.max_per_hour as usize + CRITICAL_RESERVE + 1;
        for (index, first) in mails.iter().enumerate() {
            let hour = mails[index..].iter().take_while(|time| time.since(*first) < HOUR).count();
            assert!(
                hour <= most,
                "seed {seed}: {hour} mails in the hour after {}",
                first.rfc3339()
            );
        }
    }
}
