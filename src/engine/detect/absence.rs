//! People who did not come: too few events on a day by a certain time.
//!
//! Only days that were watched from their beginning are judged: whoever starts in the evening
//! does not know who came in the morning.

use std::collections::HashSet;

use jiff::civil::Date;

use super::calendar::{self, Calendar, Hours};
use super::circumstances::Circumstances;
use super::firing::Firing;
use super::rule::Rule;
use super::{Alert, AlertState};
use crate::units::{TimeOfDay, Timestamp};

/// Different values told apart on one day; more than that are no absence.
const VALUES_MAX: usize = 65_536;

/// What a rule about an absence waits for.
#[derive(Clone, Debug)]
pub struct Absence {
    /// The days, and when counting begins on them.
    pub hours: Hours,
    /// When it is looked at.
    pub check_at: Vec<TimeOfDay>,
    /// At least so many events, or different values, are expected.
    pub min: u64,
    /// And at least this part of the people of the roster; 0 where it does not matter.
    pub roster_share: f64,
}

impl Absence {
    /// How many are expected on `day`; 0 where nobody can tell.
    fn expected(&self, circumstances: &Circumstances, day: Date) -> u64 {
        let roster = circumstances.roster.as_ref().map_or(0, |roster| roster.expected(day));
        self.min.max((self.roster_share * roster as f64).ceil() as u64)
    }
}

/// All rules about absences.
#[derive(Debug)]
pub(super) struct Absences {
    watches: Vec<Watch>,
    /// The first moment at which one of them is looked at, or ends.
    due: Timestamp,
    /// Since when events are seen.
    since: Option<Timestamp>,
}

/// What is counted for one rule.
#[derive(Debug)]
struct Watch {
    rule: usize,
    /// When it is looked at next, and the day that it is about.
    next: Option<(Timestamp, Date)>,
    /// The day that is counted, with its beginning and end.
    today: Option<(Date, Timestamp, Timestamp)>,
    /// What came on that day.
    events: u64,
    values: HashSet<u64>,
    /// The alert that goes on, and when its day ends.
    firing: Option<(Box<Firing>, Timestamp)>,
}

impl Absences {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let watch = |(number, rule): (usize, &Rule)| {
            rule.absence.is_some().then(|| Watch {
                rule: number,
                next: None,
                today: None,
                events: 0,
                values: HashSet::new(),
                firing: None,
            })
        };
        let watches = rules.iter().enumerate().filter_map(watch).collect();
        Self { watches, due: Timestamp(u64::MAX), since: None }
    }

    /// The first moment at which there is something to do.
    #[inline]
    pub(super) fn due(&self) -> Timestamp {
        if self.since.is_none() && !self.watches.is_empty() { Timestamp(0) } else { self.due }
    }

    /// Counts an event of rule `rule`; `value` is what it tells apart.
    pub(super) fn see(
        &mut self,
        rules: &[Rule],
        circumstances: &Circumstances,
        (rule, value): (usize, Option<u64>),
        time: Timestamp,
        alerts: &mut Vec<Alert>,
    ) {
        let Some(watch) = self.watches.iter_mut().find(|watch| watch.rule == rule) else { return };
        let Some(absence) = &rules[rule].absence else { return };
        let Some(day) = watch.turn_to(absence, &circumstances.calendar, time) else { return };
        watch.events += 1;
        if let Some(value) = value
            && watch.values.len() < VALUES_MAX
        {
            watch.values.insert(value);
        }
        let expected = absence.expected(circumstances, day);
        if watch.firing.is_some() && expected <= watch.count(&rules[rule]) {
            let firing = watch.firing.take();
            alerts.extend(firing.map(|(firing, _)| firing.resolved(time)));
        }
    }

    /// The newest event is of `now`, and all sources have come to `passed`: looks at what is due.
    pub(super) fn check(
        &mut self,
        rules: &[Rule],
        circumstances: &Circumstances,
        (now, passed): (Timestamp, Timestamp),
        alerts: &mut Vec<Alert>,
    ) {
        let since = *self.since.get_or_insert(now);
        for watch in &mut self.watches {
            watch.check(&rules[watch.rule], circumstances, (since, passed), alerts);
        }
        let ends = |watch: &Watch| {
            let end = watch.firing.as_ref().map(|(_, end)| *end);
            end.into_iter().chain(watch.next.map(|(next, _)| next)).min()
        };
        self.due = self.watches.iter().filter_map(ends).min().unwrap_or(Timestamp(u64::MAX));
    }

    /// Takes up an alert of rule `rule`.
    pub(super) fn restore(&mut self, calendar: &Calendar, rule: usize, alert: Alert) {
        let Some(watch) = self.watches.iter_mut().find(|watch| watch.rule == rule) else { return };
        let end = day_end(calendar, calendar.local(alert.at).date());
        self.due = self.due.min(end);
        watch.firing = Some((Box::new(Firing::restored(alert)), end));
    }

    /// Ends silently every alert that is not in `open`.
    pub(super) fn forget_all_but(&mut self, open: &[Alert]) {
        for watch in &mut self.watches {
            let is_open = |(firing, _): &(Box<Firing>, _)| {
                open.iter().any(|alert| alert.id == firing.alert.id)
            };
            watch.firing = watch.firing.take().filter(is_open);
        }
    }
}

impl Watch {
    fn count(&self, rule: &Rule) -> u64 {
        if rule.distinct.is_empty() { self.events } else { self.values.len() as u64 }
    }

    /// The day of an event at `time`, which is counted from now on; none where that day is not
    /// watched at that time.
    fn turn_to(&mut self, absence: &Absence, calendar: &Calendar, time: Timestamp) -> Option<Date> {
        if let Some((day, begin, end)) = self.today
            && time < end
        {
            return (begin <= time).then_some(day);
        }
        let day = calendar.local(time).date();
        if !absence.hours.has_day(day) || calendar.is_holiday(day) {
            return None;
        }
        let begin = begin(calendar, absence, day);
        self.today = Some((day, begin, day_end(calendar, day)));
        self.events = 0;
        self.values.clear();
        (begin <= time).then_some(day)
    }

    fn check(
        &mut self,
        rule: &Rule,
        circumstances: &Circumstances,
        (since, now): (Timestamp, Timestamp),
        alerts: &mut Vec<Alert>,
    ) {
        let Some(absence) = &rule.absence else { return };
        let calendar = &circumstances.calendar;
        loop {
            if let Some((firing, end)) = self.firing.take_if(|(_, end)| *end <= now) {
                alerts.push(firing.resolved(end));
            }
            let after = match self.next {
                Some((next, _)) if now < next => return,
                Some((next, day)) => {
                    // A day whose end has passed as well was not watched as it went by.
                    if since <= begin(calendar, absence, day) && now < day_end(calendar, day) {
                        self.judge(rule, circumstances, (next, day), alerts);
                    }
                    next
                }
                None => since,
            };
            self.next = calendar::next(calendar, &absence.hours, &absence.check_at, after);
            if self.next.is_none() {
                return;
            }
        }
    }

    fn judge(
        &mut self,
        rule: &Rule,
        circumstances: &Circumstances,
        (at, day): (Timestamp, Date),
        alerts: &mut Vec<Alert>,
    ) {
        let Some(absence) = &rule.absence else { return };
        let calendar = &circumstances.calendar;
        if self.today.is_none_or(|(counted, ..)| counted != day) {
            // Nobody came at all.
            self.turn_to(absence, calendar, at);
        }
        let (count, expected) = (self.count(rule), absence.expected(circumstances, day));
        if self.firing.is_some() || expected <= count {
            return;
        }
        let clock = calendar.local(at).strftime("%H:%M").to_string();
        let named = day.strftime("%A, %F").to_string();
        let group = vec![("day".to_owned(), named), ("time".to_owned(), clock)];
        let begin = begin(calendar, absence, day);
        let blank = Firing::blank(rule, &rule.limits[0], group, (begin, at));
        let distinct = (!rule.distinct.is_empty()).then_some(count);
        let alert = Alert {
            state: AlertState::Firing,
            window: at.since(begin),
            count: self.events,
            distinct,
            threshold: expected,
            muted_by: circumstances.muted_by(rule, at),
            members_90d: None,
            ..blank
        };
        let firing = Firing::of(alert, rule, |_| None);
        alerts.push(firing.alert.clone());
        self.firing = Some((Box::new(firing), day_end(calendar, day)));
    }
}

/// When counting begins on `day`.
fn begin(calendar: &Calendar, absence: &Absence, day: Date) -> Timestamp {
    calendar.moment(day.to_datetime(absence.hours.begin()))
}

fn day_end(calendar: &Calendar, day: Date) -> Timestamp {
    calendar.moment(day.tomorrow().unwrap_or(day).to_datetime(jiff::civil::Time::midnight()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::engine::batch::{EventBatch, Origin};
    use crate::engine::detect::{Detectors, Limits, rule};
    use crate::engine::enrich::{Enricher, Roster};
    use crate::engine::format::FormatSet;
    use crate::engine::parse::{Parser, Text};
    use crate::engine::time::TimeReader;
    use crate::units::{Day, Period};

    /// Twenty people, of whom one is away.
    fn roster() -> Roster {
        let mut text = "user,exempt_until\naway,2027-01-01\n".to_owned();
        (0..20).for_each(|n| text.push_str(&format!("m{n},\n")));
        Roster::read(text.as_bytes()).expect("a roster")
    }

    fn circumstances() -> Circumstances {
        let holiday = Day::try_from("2026-12-24".to_owned()).expect("a day");
        let zone = TimeZone::get("Europe/Paris").expect("a zone");
        Circumstances {
            calendar: Calendar { zone, holidays: vec![holiday] },
            roster: Some(Arc::new(roster())),
            ..Circumstances::default()
        }
    }

    fn at(text: &str) -> Timestamp {
        circumstances().calendar.moment(text.parse().expect("a time"))
    }

    fn detectors() -> Detectors {
        Detectors::new(rule::builtin(), Limits::new(5)).in_circumstances(circumstances())
    }

    /// `count` people log in, a minute apart from `from` on; nobody if it is 0.
    fn log_in(detectors: &mut Detectors, from: &str, users: &[String], alerts: &mut Vec<Alert>) {
        let line = |(minute, user): (usize, &String)| {
            let time = at(from).plus(Period::from_secs(60 * minute as u64)).rfc3339();
            format!(
                "{{\"time\":\"{time}\",\"event\":\"login\",\"outcome\":\"success\",\
                 \"user\":\"{user}\",\"ip\":\"192.0.2.7\"}}\n"
            )
        };
        let log: String = users.iter().enumerate().map(line).collect();
        let read_at = at(from).plus(Period::from_secs(3600));
        let enricher = Enricher { roster: circumstances().roster, ..Enricher::default() };
        let formats = FormatSet::from_definition("json").expect("a format");
        let times = TimeReader::new(TimeZone::UTC, read_at);
        let mut parser = Parser::new(formats, times, Arc::new(enricher));
        let mut batch = EventBatch::default();
        let origin = Arc::new(Origin { source: "app".to_owned(), ..Origin::default() });
        let bytes = log.into_bytes();
        parser.fill(&mut batch, Text { origin, bytes, from: 0, truncated_last: false, read_at });
        detectors.see(&batch, read_at, alerts);
    }

    fn members(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("m{n}")).collect()
    }

    /// What is told from the Wednesday on, when `users` log in on the Thursday at six.
    fn told(users: &[String], until: &str) -> Vec<(AlertState, String, u64, Option<u64>)> {
        let (mut detectors, mut alerts) = (detectors(), Vec::new());
        log_in(&mut detectors, "2026-11-18T09:00", &members(3), &mut alerts);
        log_in(&mut detectors, "2026-11-19T18:00", users, &mut alerts);
        let mut now = at("2026-11-19T19:00");
        while now <= at(until) {
            detectors.tick(now, &mut alerts);
            now = now.plus(Period::from_secs(600));
        }
        let told = |alert: Alert| (alert.state, alert.summary, alert.threshold, alert.distinct);
        alerts.into_iter().map(told).collect()
    }

    #[test]
    fn a_thursday_without_members_is_told_in_the_evening_and_ends_with_the_day() {
        let text =
            "By 21:30 on Thursday, 2026-11-19, 9 members had logged in; at least 10 were expected";
        let expected = |state| (state, text.to_owned(), 10, Some(9));
        assert_eq!(vec![expected(AlertState::Firing)], told(&members(9), "2026-11-19T21:40"));
        assert_eq!(
            vec![expected(AlertState::Firing), expected(AlertState::Resolved)],
            told(&members(9), "2026-11-22T00:00")
        );
        assert!(told(&members(9), "2026-11-19T21:20").is_empty(), "not before");
        assert!(told(&members(10), "2026-11-25T00:00").is_empty(), "half of twenty are enough");
        let strangers: Vec<String> = (0..30).map(|n| format!("x{n}")).collect();
        assert_eq!(1, told(&strangers, "2026-11-19T22:00").len(), "strangers are no members");
        let again = [members(9), members(9)].concat();
        assert_eq!(1, told(&again, "2026-11-19T22:00").len(), "nobody counts twice");
    }

    #[test]
    fn a_day_that_was_not_watched_from_its_beginning_and_a_holiday_are_not_judged() {
        let (mut late, mut alerts) = (detectors(), Vec::new());
        log_in(&mut late, "2026-11-19T18:00", &members(2), &mut alerts);
        late.tick(at("2026-11-19T23:00"), &mut alerts);
        assert_eq!(Vec::<Alert>::new(), alerts);

        let mut watching = detectors();
        log_in(&mut watching, "2026-12-22T18:00", &members(2), &mut alerts);
        for hour in 0..60 {
            watching.tick(at("2026-12-23T12:00").plus(Period::from_secs(3600 * hour)), &mut alerts);
        }
        assert_eq!(Vec::<Alert>::new(), alerts, "the 24th is a holiday");
    }

    #[test]
    fn late_comers_end_the_alert_and_a_restart_goes_on_with_it() {
        let (mut first, mut alerts) = (detectors(), Vec::new());
        log_in(&mut first, "2026-11-18T09:00", &members(3), &mut alerts);
        first.tick(at("2026-11-19T21:31"), &mut alerts);
        let open = alerts.clone();
        assert_eq!(1, open.len());

        let mut again = detectors();
        again.restore(open.clone());
        again.tick(at("2026-11-19T23:59"), &mut alerts);
        assert_eq!(1, alerts.len(), "it goes on until the day ends");
        again.tick(at("2026-11-20T00:00"), &mut alerts);
        assert_eq!((2, AlertState::Resolved), (alerts.len(), alerts[1].state));
        assert_eq!(open[0].id, alerts[1].id);

        alerts.truncate(1);
        log_in(&mut first, "2026-11-19T22:00", &members(10), &mut alerts);
        assert_eq!((2, AlertState::Resolved), (alerts.len(), alerts[1].state));
    }
}
