//! What is out of order and since when: sources that cannot be read, receivers that take nothing.
//!
//! The pipeline's thread tells both to the rules, which decide how long is too long. What the edge
//! sees of its receivers it leaves here.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use crate::serve::Readiness;
use crate::units::Timestamp;

/// A channel, in the words of its check on `/readyz`, that has taken nothing while something waits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Stuck {
    /// Since when.
    pub(crate) since: Timestamp,
    /// Why, as far as is known.
    pub(crate) why: String,
}

/// How each channel does, as the edge saw it last; nothing is known of those that are not in it.
#[derive(Debug, Default)]
pub(crate) struct Deliveries(Mutex<BTreeMap<String, Option<Stuck>>>);

impl Deliveries {
    /// `channel` is stuck, or it is not. What was never stuck is well once it `is_known` to be: at
    /// a start nothing waits because nothing was looked at.
    pub(crate) fn note(&self, channel: &str, stuck: Option<Stuck>, is_known: bool) {
        // Each update is one insertion, so a panic elsewhere leaves nothing half done.
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if stuck.is_some() || is_known || states.contains_key(channel) {
            states.insert(channel.to_owned(), stuck);
        }
    }

    /// All channels.
    pub(crate) fn all(&self) -> Vec<(String, Option<Stuck>)> {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.iter().map(|(channel, stuck)| (channel.clone(), stuck.clone())).collect()
    }
}

/// One look at a source.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) source: String,
    /// Why it cannot be read, and what to do.
    pub(super) problem: Option<String>,
    /// Its file was rotated, and its successor has not been written as yet: no trouble.
    pub(super) is_between: bool,
}

/// Since when each source has been out of order.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    since: HashMap<String, Timestamp>,
}

impl Troubles {
    /// Says on `/readyz` how the source is. Answers since when it has been out of order, if it is.
    pub(super) fn note(
        &mut self,
        look: &Look,
        readiness: &Readiness,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let check = format!("source {}", look.source);
        match &look.problem {
            Some(problem) => readiness.fail(&check, problem),
            None => readiness.pass(&check),
        }
        if look.problem.is_none() || look.is_between {
            self.since.remove(&look.source);
            return None;
        }
        Some(*self.since.entry(look.source.clone()).or_insert(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Period;

    #[test]
    fn a_channel_of_which_nothing_is_known_is_neither_stuck_nor_well() {
        let deliveries = Deliveries::default();
        let stuck = || Some(Stuck { since: Timestamp(7), why: "refused".to_owned() });
        let all = || deliveries.all().into_iter().map(|(_, stuck)| stuck).collect::<Vec<_>>();
        deliveries.note("sink siem", None, false);
        assert_eq!(Vec::<Option<Stuck>>::new(), all());
        deliveries.note("sink siem", stuck(), false);
        assert_eq!(vec![stuck()], all());
        deliveries.note("sink siem", None, false);
        assert_eq!(vec![None], all(), "it was stuck, and waits for nothing any more");
    }

    #[test]
    fn a_source_is_out_of_order_since_it_was_first_seen_so() {
        let readiness = Readiness::new(Period::from_secs(30));
        let mut troubles = Troubles::default();
        let mut look = |second: u64, problem: Option<&str>, is_between: bool| {
            let problem = problem.map(str::to_owned);
            let look = Look { source: "site".to_owned(), problem, is_between };
            let now = Timestamp::from_secs(second);
            let since = troubles.note(&look, &readiness, now).map(Timestamp::secs);
            let checks = readiness.report(now).checks;
            let check = checks.into_iter().find(|check| check.name == "source site");
            (since, check.and_then(|check| check.reason))
        };
        let gone = || Some("gone".to_owned());
        assert_eq!((None, None), look(1, None, false));
        assert_eq!((Some(2), gone()), look(2, Some("gone"), false));
        assert_eq!((Some(2), gone()), look(3, Some("gone"), false));
        assert_eq!((None, gone()), look(4, Some("gone"), true));
        assert_eq!((Some(5), gone()), look(5, Some("gone"), false));
        assert_eq!((None, None), look(6, None, false));
    }
}
