//! Series of an invented member site, hour by hour, and what happens in them.

use crate::chance::Chance;

pub(crate) const DAY: usize = 24;
pub(crate) const WEEK: usize = 168;

/// The first hour of Thursday; weeks begin on Monday.
pub(crate) const THURSDAY: usize = 3 * DAY;

/// What is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Requests,
    Logins,
    Failures,
    NotFound,
    Errors,
}

pub(crate) const KINDS: [Kind; 5] =
    [Kind::Requests, Kind::Logins, Kind::Failures, Kind::NotFound, Kind::Errors];

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Logins => "log-ins",
            Self::Failures => "failed log-ins",
            Self::NotFound => "404",
            Self::Errors => "5xx",
        }
    }

    /// Mean counts an hour, and dispersions, that series of the kind have: from, to.
    fn ranges(self) -> ((f64, f64), (f64, f64)) {
        match self {
            Self::Requests => ((100.0, 2000.0), (0.01, 0.05)),
            Self::Logins => ((0.3, 3.0), (0.02, 0.10)),
            Self::Failures => ((0.2, 2.0), (0.1, 0.5)),
            Self::NotFound => ((2.0, 40.0), (0.1, 0.5)),
            Self::Errors => ((0.1, 2.0), (0.1, 0.5)),
        }
    }

    /// What happens in series of the kind.
    fn happenings(self) -> &'static [Happening] {
        use Happening::*;
        match self {
            Self::Requests => &[Triple, NightSurge, Outage, Slump, Rise, MissingThursday],
            Self::Logins => &[MissingThursday, ThinThursday, WrongDay, NightLogins],
            Self::Failures => &[Guessing, Guessing, SlowGuessing],
            Self::NotFound => &[Scan, SlowScan],
            Self::Errors => &[ErrorBurst, SlowErrors],
        }
    }
}

/// Something that a detector should tell of.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Happening {
    Triple,
    NightSurge,
    Outage,
    Slump,
    Rise,
    MissingThursday,
    ThinThursday,
    WrongDay,
    NightLogins,
    Guessing,
    SlowGuessing,
    Scan,
    SlowScan,
    ErrorBurst,
    SlowErrors,
}

impl Happening {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Triple => "three times as much for 2 h",
            Self::NightSurge => "half the week's peak at night",
            Self::Outage => "nothing for 1 to 3 h",
            Self::Slump => "60 % less for 6 h",
            Self::Rise => "40 % more for 48 h",
            Self::MissingThursday => "missing Thursday",
            Self::ThinThursday => "Thursday at 40 %",
            Self::WrongDay => "Thursday's people on another day",
            Self::NightLogins => "15 log-ins at 03:00",
            Self::Guessing => "30 to 60 an hour for 1 to 2 h",
            Self::SlowGuessing => "2 to 4 an hour more for 48 h",
            Self::Scan => "300 to 1,500 in an hour",
            Self::SlowScan => "15 to 40 an hour more for 24 h",
            Self::ErrorBurst => "20 to 80 in an hour",
            Self::SlowErrors => "3 to 6 an hour more for 12 h",
        }
    }

    /// Hours that it lasts, and the hours of the day at which it may begin.
    fn when(self, chance: &mut Chance) -> (usize, (usize, usize)) {
        let any = (0, DAY);
        match self {
            Self::Triple => (2, (8, 22)),
            Self::NightSurge => (2, (1, 4)),
            Self::Outage => (chance.pick(1, 4), (9, 20)),
            Self::Slump => (6, (8, 16)),
            Self::Rise | Self::SlowGuessing => (48, any),
            Self::MissingThursday | Self::ThinThursday | Self::WrongDay => (DAY, (0, 1)),
            Self::NightLogins => (1, (3, 4)),
            Self::Guessing => (chance.pick(1, 3), any),
            Self::Scan | Self::ErrorBurst => (1, any),
            Self::SlowScan => (24, any),
            Self::SlowErrors => (12, any),
        }
    }

    /// The days of the week on which it may begin.
    fn days(self, chance: &mut Chance) -> usize {
        match self {
            Self::MissingThursday | Self::ThinThursday => 3,
            Self::WrongDay | Self::NightLogins => [0, 1, 2, 4, 5, 6][chance.pick(0, 6)],
            _ => chance.pick(0, 7),
        }
    }
}

/// Something that happened, in hours from the beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) what: Happening,
    pub(crate) from: usize,
    /// Not included.
    pub(crate) to: usize,
}

/// A series, and what happened in it.
pub(crate) struct Case {
    pub(crate) counts: Vec<u64>,
    pub(crate) events: Vec<Event>,
    /// Hours that are for learning only.
    pub(crate) train: usize,
}

/// How a series behaves while nothing happens.
pub(crate) struct Behaviour {
    profile: Vec<f64>,
    dispersion: f64,
    swing: f64,
    of_days: f64,
    growth: f64,
}

impl Behaviour {
    pub(crate) fn new(kind: Kind, chance: &mut Chance) -> Self {
        let (means, dispersions) = kind.ranges();
        let mean = chance.scale(means.0, means.1);
        let shape: Vec<f64> = (0..WEEK).map(|slot| shape(kind, slot)).collect();
        let sum: f64 = shape.iter().sum();
        Self {
            profile: shape.into_iter().map(|part| part / sum * mean * WEEK as f64).collect(),
            dispersion: chance.scale(dispersions.0, dispersions.1),
            swing: chance.between(0.05, 0.20),
            of_days: chance.between(0.08, 0.15),
            growth: chance.between(-0.01, 0.03),
        }
    }

    /// A behaviour without chance of its own but that of counts.
    pub(crate) fn plain(profile: Vec<f64>, dispersion: f64) -> Self {
        Self { profile, dispersion, swing: 0.0, of_days: 0.0, growth: 0.0 }
    }

    /// The means of `weeks`, before events and the chance of counts.
    pub(crate) fn means(&self, weeks: usize, chance: &mut Chance) -> Vec<f64> {
        const KEEPS: f64 = 0.7;
        let (mut noise, mut day) = (0.0, 0.0);
        let mean = |hour: usize| {
            if hour.is_multiple_of(DAY) {
                day = self.of_days * chance.normal();
            }
            let fresh = self.swing * (1.0f64 - KEEPS * KEEPS).sqrt();
            noise = KEEPS * noise + fresh * chance.normal();
            let grown = (1.0 + self.growth).powf(hour as f64 / WEEK as f64);
            self.profile[hour % WEEK] * grown * f64::exp(noise + day)
        };
        (0..weeks * WEEK).map(mean).collect()
    }

    /// What is counted where the means are such.
    pub(crate) fn counts(&self, means: &[f64], chance: &mut Chance) -> Vec<u64> {
        means.iter().map(|mean| chance.count(*mean, self.dispersion)).collect()
    }

    fn peak(&self) -> f64 {
        self.profile.iter().copied().fold(0.0, f64::max)
    }

    /// Lets `event` happen.
    pub(crate) fn happen(&self, event: Event, means: &mut [f64], chance: &mut Chance) {
        use Happening::*;
        let (factor, more) = match event.what {
            Triple => (3.0, 0.0),
            NightSurge => (0.0, self.peak() / 2.0),
            Outage => (0.005, 0.0),
            Slump | ThinThursday => (0.4, 0.0),
            Rise => (1.4, 0.0),
            MissingThursday => (0.02, 0.0),
            WrongDay => (1.0, 0.0),
            NightLogins => (1.0, 15.0),
            Guessing => (1.0, chance.between(30.0, 60.0)),
            SlowGuessing => (1.0, chance.between(2.0, 4.0)),
            Scan => (1.0, chance.between(300.0, 1500.0)),
            SlowScan => (1.0, chance.between(15.0, 40.0)),
            ErrorBurst => (1.0, chance.between(20.0, 80.0)),
            SlowErrors => (1.0, chance.between(3.0, 6.0)),
        };
        for (hour, mean) in means.iter_mut().enumerate().take(event.to).skip(event.from) {
            *mean = *mean * factor + more;
            if event.what == WrongDay {
                *mean += self.profile[THURSDAY + hour % DAY];
            }
        }
    }
}

/// How the counts of a kind are spread over the week.
fn shape(kind: Kind, slot: usize) -> f64 {
    let (day, hour) = (slot / DAY, slot % DAY);
    let by_hour = match hour {
        0..6 => 0.25,
        6..9 => 0.7,
        9..17 => 1.2,
        17..22 => 1.5,
        _ => 0.7,
    };
    let by_day = if 5 <= day { 0.75 } else { 1.0 };
    let evening = day == 3 && (17..22).contains(&hour);
    match kind {
        Kind::Logins if day == 3 => by_hour * if evening { 12.0 } else { 5.0 },
        Kind::Logins => by_hour * by_day * 0.5,
        Kind::NotFound | Kind::Errors => by_day * (0.4 + by_hour),
        _ if evening => by_hour * 2.5,
        _ => by_hour * by_day,
    }
}

/// Weeks of a case, and those that are for learning only.
const WEEKS: usize = 8;
const TRAIN_WEEKS: usize = 4;

/// Hours between two events at least.
const APART: usize = 30;

/// A series of `kind` with everything that may happen in it.
pub(crate) fn case(kind: Kind, chance: &mut Chance) -> Case {
    let behaviour = Behaviour::new(kind, chance);
    let mut means = behaviour.means(WEEKS, chance);
    let events = place(kind.happenings(), chance);
    for event in &events {
        behaviour.happen(*event, &mut means, chance);
    }
    let counts = behaviour.counts(&means, chance);
    Case { counts, events, train: TRAIN_WEEKS * WEEK }
}

/// A series of `kind` in which nothing happens, over `weeks`.
pub(crate) fn quiet(kind: Kind, weeks: usize, chance: &mut Chance) -> Case {
    let behaviour = Behaviour::new(kind, chance);
    let means = behaviour.means(weeks, chance);
    let counts = behaviour.counts(&means, chance);
    Case { counts, events: Vec::new(), train: TRAIN_WEEKS * WEEK }
}

/// A series of `kind` that was taught wrong: six times as much for two hours in the second week,
/// and no Thursday in the third.
pub(crate) fn contaminated(kind: Kind, chance: &mut Chance) -> Case {
    let behaviour = Behaviour::new(kind, chance);
    let mut means = behaviour.means(WEEKS, chance);
    let burst = WEEK + chance.pick(0, WEEK - 2);
    means[burst..burst + 2].iter_mut().for_each(|mean| *mean *= 6.0);
    if matches!(kind, Kind::Requests | Kind::Logins) {
        let thursday = 2 * WEEK + THURSDAY;
        means[thursday..thursday + DAY].iter_mut().for_each(|mean| *mean *= 0.02);
    }
    let events = place(kind.happenings(), chance);
    for event in &events {
        behaviour.happen(*event, &mut means, chance);
    }
    let counts = behaviour.counts(&means, chance);
    Case { counts, events, train: TRAIN_WEEKS * WEEK }
}

/// A series of `kind` with a day in the sixth week on which hardly anybody came.
pub(crate) fn with_holiday(kind: Kind, day: usize, chance: &mut Chance) -> Case {
    let behaviour = Behaviour::new(kind, chance);
    let mut means = behaviour.means(WEEKS, chance);
    let from = 5 * WEEK + day * DAY;
    means[from..from + DAY].iter_mut().for_each(|mean| *mean *= 0.2);
    let counts = behaviour.counts(&means, chance);
    let event = Event { what: Happening::Slump, from, to: from + DAY };
    Case { counts, events: vec![event], train: TRAIN_WEEKS * WEEK }
}

/// Finds a time for each, in the weeks that are judged.
fn place(what: &[Happening], chance: &mut Chance) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let mut waiting: Vec<Happening> = what.to_vec();
    // What is bound to a day comes first.
    waiting
        .sort_by_key(|what| !matches!(what, Happening::MissingThursday | Happening::ThinThursday));
    for what in waiting {
        let placed = (0..1000).find_map(|_| {
            let (hours, (first, last)) = what.when(chance);
            let week = chance.pick(TRAIN_WEEKS, WEEKS);
            let day = what.days(chance);
            let from = week * WEEK + day * DAY + chance.pick(first, last);
            let to = from + hours;
            let is_free = |event: &Event| to + APART <= event.from || event.to + APART <= from;
            let fits = TRAIN_WEEKS * WEEK + 2 <= from && to + 4 <= WEEKS * WEEK;
            (fits && events.iter().all(is_free)).then_some(Event { what, from, to })
        });
        events.push(placed.expect("room for all events"));
    }
    events
}
