//! Which rules have a look at an event.
//!
//! Found once for each status and kind of event, because most events are no business of most rules.

use super::announced::Announced;
use super::field::Subject;
use super::predicate;
use super::rule::Rule;
use crate::engine::batch::{Event, Field};

/// Which rules have a look at an event: found once for each status and kind of event, because most
/// events are no business of most rules.
#[derive(Debug)]
pub(super) struct Board {
    /// By status (those beyond 599 as 599), without and with an indicator of some list, without and
    /// with a log-in verdict, with a plain method and with another one or none.
    pub(super) rows: Vec<Vec<Candidate>>,
}

/// A rule that may match an event, or that has the event speak against its key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) rule: u32,
    /// The rule's condition is asked: always for certain, or whether it holds.
    pub(super) condition: Option<bool>,
    /// The same for what speaks against.
    pub(super) against: Option<bool>,
    /// The same for the second step of a sequence.
    pub(super) then: Option<bool>,
    /// The condition is only asked about what some signature knows.
    pub(super) needs_signs: bool,
    /// Only a client that asks much is of interest.
    pub(super) is_for_the_busy: bool,
    /// The rule is about clients: what speaks against is of interest only after a match.
    pub(super) is_of_clients: bool,
}

const STATUS_ROWS: usize = 600;

impl Board {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let announced = Announced::places(rules);
        let row = |index: usize| {
            let (status, listed) = ((index / 8) as u16, index & 4 != 0);
            let (auth, odd) = (index & 2 != 0, index & 1 != 0);
            let candidate = |(rule, one): (usize, &Rule)| {
                let share = one.share.as_ref().map(|share| share.gate);
                let asked = |gate: predicate::Gate| {
                    let is_admitted = gate.admits(status, auth, odd);
                    (is_admitted && (listed || !gate.needs_list())).then_some(gate.is_exact())
                };
                let is_announced = announced.binary_search(&rule).is_ok();
                let condition = if is_announced { None } else { asked(one.gate) };
                let against = share.and_then(asked);
                let then = one.then.as_ref().and_then(|then| asked(then.gate));
                let is_needed = condition.is_some() || against.is_some() || then.is_some();
                let is_for_the_busy = one.is_for_the_busy;
                let rule = rule as u32;
                let is_of_clients =
                    matches!(one.group_by.as_slice(), [(_, Subject::ClientNet), ..]);
                let needs_signs = one.gate.needs_signs();
                is_needed.then_some(Candidate {
                    rule,
                    condition,
                    against,
                    then,
                    needs_signs,
                    is_for_the_busy,
                    is_of_clients,
                })
            };
            let of_events = |(_, rule): &(usize, &Rule)| rule.looks_at_events();
            rules.iter().enumerate().filter(of_events).filter_map(candidate).collect()
        };
        Self { rows: (0..8 * STATUS_ROWS).map(row).collect() }
    }

    pub(super) fn row(event: &Event<'_>) -> usize {
        let row = event.row();
        let status = usize::from(row.status);
        let status = status.min(STATUS_ROWS - 1);
        let is_plain = event.field(Field::Method).is_some_and(predicate::is_plain_method);
        let is_listed = usize::from(row.is_listed);
        8 * status + 4 * is_listed + 2 * usize::from(row.auth.is_some()) + usize::from(!is_plain)
    }
}
