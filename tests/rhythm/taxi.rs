//! The taxi rides of New York in half hours, from the Numenta Anomaly Benchmark: a real weekly
//! rhythm, with five days that are known to be odd.

use crate::chance::Chance;
use crate::site::{Behaviour, Case, DAY, Event, Happening, WEEK};

/// The series begins on Tuesday, the 1st of July 2014; a week begins on Monday.
const FIRST_SLOT: usize = DAY;

/// Month, day and hour.
type Moment = (u32, u32, u32);

/// The windows that the benchmark labels as odd, from and to.
const LABELLED: [(Moment, Moment); 5] = [
    ((10, 30, 15), (11, 3, 22)),
    ((11, 25, 12), (11, 29, 19)),
    ((12, 23, 11), (12, 27, 18)),
    ((12, 29, 21), (13, 3, 4)),
    ((13, 24, 20), (13, 29, 3)),
];

/// Days before each month of 2014, January of 2015 as the thirteenth, from the 1st of July.
fn hour_of((month, day, hour): Moment) -> usize {
    let before = [0, 31, 62, 92, 123, 153, 184][(month - 7) as usize];
    (before + day as usize - 1) * DAY + hour as usize
}

/// The rides by hour, from a Monday on: the day before the first is empty and not counted.
#[derive(Clone, Debug)]
pub(crate) struct Rides {
    pub(crate) counts: Vec<u64>,
}

/// Reads the file of the benchmark.
pub(crate) fn read(text: &str) -> Option<Rides> {
    let values =
        text.lines().skip(1).map(|line| line.split(',').nth(1)?.trim().parse::<f64>().ok());
    let halves: Vec<f64> = values.collect::<Option<_>>()?;
    let mut hours: Vec<u64> =
        halves.chunks(2).map(|pair| pair.iter().sum::<f64>() as u64).collect();
    // Clocks went back in that hour: it is there twice.
    if let Some(doubled) = hours.get_mut(hour_of((11, 2, 1))) {
        *doubled /= 2;
    }
    (WEEK * 6 < hours.len()).then_some(Rides { counts: hours })
}

/// The series as it is: six days less than four weeks are for learning.
pub(crate) fn as_it_is(rides: &Rides) -> Case {
    let events = LABELLED.map(|(from, to)| Event {
        what: Happening::MissingThursday,
        from: FIRST_SLOT + hour_of(from),
        to: FIRST_SLOT + hour_of(to),
    });
    Case { counts: from_monday(rides), events: events.to_vec(), train: 4 * WEEK }
}

/// So few rides that they look like the counts of a web site, with events put into it; the days
/// that are odd by themselves are judged by nobody.
pub(crate) fn thinned(rides: &Rides, mean: f64, chance: &mut Chance) -> Case {
    use Happening::*;
    let counts = from_monday(rides);
    let all = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    let mut means: Vec<f64> = counts.iter().map(|count| *count as f64 / all * mean).collect();
    // Labour Day and the labelled windows are cut out, whole weeks at a time.
    let odd = as_it_is(rides).events;
    let is_odd = |week: usize| {
        let (from, to) = (week * WEEK, (week + 1) * WEEK);
        week == 9 || odd.iter().any(|event| event.from < to && from < event.to)
    };
    let weeks = (0..means.len() / WEEK).filter(|week| !is_odd(*week));
    means = weeks.flat_map(|week| means[week * WEEK..(week + 1) * WEEK].to_vec()).collect();
    let profile = means[..WEEK].to_vec();
    let behaviour = Behaviour::plain(profile, 1e-4);
    let weeks = means.len() / WEEK;
    let mut events: Vec<Event> = Vec::new();
    for what in [Triple, NightSurge, Outage, Slump, MissingThursday, Rise] {
        let (hours, hour) = match what {
            Triple => (2, 10),
            NightSurge => (2, 3),
            Outage => (2, 19),
            Slump => (6, 12),
            MissingThursday => (24, 0),
            _ => (48, 0),
        };
        let free =
            |event: &Event, from: usize| from + hours + 30 <= event.from || event.to + 30 <= from;
        let from = (0..1000).find_map(|_| {
            let from = chance.pick(4, weeks) * WEEK + chance.pick(0, 7) * DAY + hour;
            let fits = from + hours + 4 < weeks * WEEK;
            (fits && events.iter().all(|event| free(event, from))).then_some(from)
        });
        let from = from.expect("room for all events");
        let event = Event { what, from, to: from + hours };
        behaviour.happen(event, &mut means, chance);
        events.push(event);
    }
    let counts = behaviour.counts(&means, chance);
    Case { counts, events, train: 4 * WEEK }
}

fn from_monday(rides: &Rides) -> Vec<u64> {
    // The Monday before is as the first Monday that is known.
    let monday = &rides.counts[6 * DAY..7 * DAY];
    [monday, &rides.counts].concat()
}
