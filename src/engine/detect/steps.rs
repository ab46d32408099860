//! Several different things within a window: in any order, or one after the other.
//!
//! In any order, the last time of each step says whether all lie in one window. One after the
//! other, each step keeps the latest start of a chain that has come as far as it: a later start
//! can do whatever an earlier one could, so no chain within the window is missed.

use super::predicate::Predicate;
use crate::engine::batch::Event;
use crate::units::{Period, Timestamp};

/// Steps that a rule has at most.
pub(super) const STEPS_MAX: usize = 16;

/// The steps of a rule.
#[derive(Clone, Debug)]
pub struct Steps {
    /// What each of them is.
    pub conditions: Vec<Predicate>,
    /// They must come in this order.
    pub in_order: bool,
}

/// What a key remembers: of each step its last time, or where steps have an order the latest start
/// of a chain that ends with it; zero before the first.
pub(super) type Progress = Box<[Timestamp]>;

impl Steps {
    /// Takes note of an event; true where it completes the steps within `window`.
    pub(super) fn see(
        &self,
        progress: &mut Progress,
        event: &Event<'_>,
        time: Timestamp,
        window: Period,
    ) -> bool {
        let holds: Vec<bool> =
            self.conditions.iter().map(|condition| condition.holds(event)).collect();
        self.note(progress, &holds, time, window)
    }

    fn note(
        &self,
        progress: &mut Progress,
        holds: &[bool],
        time: Timestamp,
        window: Period,
    ) -> bool {
        if progress.is_empty() {
            *progress = vec![Timestamp(0); holds.len()].into();
        }
        let is_within = |start: Timestamp| start != Timestamp(0) && time <= start.plus(window);
        let last = holds.len() - 1;
        // From the last step on, so that one event is one step of a chain.
        for step in (0..holds.len()).rev().filter(|step| holds[*step]) {
            let start = if self.in_order && step != 0 { progress[step - 1] } else { time };
            if is_within(start) {
                progress[step] = progress[step].max(start);
            }
        }
        if self.in_order {
            holds[last] && is_within(progress[last])
        } else {
            progress.iter().all(|at| is_within(*at))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Period = Period::from_secs(10);

    fn steps(count: usize, in_order: bool) -> Steps {
        Steps { conditions: vec![Predicate::All(Vec::new()); count], in_order }
    }

    /// The seconds of the events that complete `steps`; each event is a second and its steps.
    fn completed(steps: &Steps, events: &[(u64, Vec<bool>)]) -> Vec<u64> {
        let mut progress = Progress::default();
        let mut completes = |(at, holds): &&(u64, Vec<bool>)| {
            steps.note(&mut progress, holds, Timestamp::from_secs(*at), WINDOW)
        };
        events.iter().filter(|event| completes(event)).map(|(at, _)| *at).collect()
    }

    /// The same by trying out every chain.
    fn naive(steps: &Steps, events: &[(u64, Vec<bool>)]) -> Vec<u64> {
        let count = steps.conditions.len();
        let ends = |end: usize| {
            let now = events[end].0;
            let recent: Vec<_> =
                events[..=end].iter().filter(|(at, _)| now <= at + WINDOW.secs()).collect();
            if !steps.in_order {
                return (0..count).all(|step| recent.iter().any(|(_, holds)| holds[step]));
            }
            // The earliest way through the steps before the last, among the events before.
            if !events[end].1[count - 1] {
                return false;
            }
            let mut step = 0;
            for (_, holds) in &recent[..recent.len() - 1] {
                if step < count - 1 && holds[step] {
                    step += 1;
                }
            }
            step == count - 1
        };
        (0..events.len()).filter(|end| ends(*end)).map(|end| events[end].0).collect()
    }

    #[test]
    fn an_order_is_kept() {
        let event = |at: u64, step: usize| (at, vec![step == 0, step == 1, step == 2]);
        let events = [event(1, 0), event(2, 1), event(3, 0), event(4, 2), event(15, 2)];
        assert_eq!(vec![4], completed(&steps(3, true), &events));
        assert_eq!(vec![4], completed(&steps(3, false), &events));
        let backwards = [event(1, 2), event(2, 1), event(3, 0)];
        assert_eq!(vec![0; 0], completed(&steps(3, true), &backwards));
        assert_eq!(vec![3], completed(&steps(3, false), &backwards));
    }

    #[test]
    fn one_event_is_one_step_of_an_order() {
        let both = (1, vec![true, true]);
        assert_eq!(vec![0; 0], completed(&steps(2, true), std::slice::from_ref(&both)));
        assert_eq!(vec![1], completed(&steps(2, false), &[both]));
    }

    proptest! {
        #[test]
        fn chains_are_found_as_by_trying_all(
            count in 2..4_usize,
            in_order: bool,
            events in prop::collection::vec((0..4_u64, any::<[bool; 4]>()), 1..24),
        ) {
            let mut at = 100;
            let events: Vec<_> = events
                .into_iter()
                .map(|(pause, holds)| {
                    at += pause;
                    (at, holds[..count].to_vec())
                })
                .filter(|(_, holds)| holds.contains(&true))
                .collect();
            let steps = steps(count, in_order);
            prop_assert_eq!(naive(&steps, &events), completed(&steps, &events));
        }
    }
}
