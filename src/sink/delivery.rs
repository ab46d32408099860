//! Decides when a sink sends, waits and moves on. No I/O, no clock, no chance of its own.
//!
//! The task of a sink owns one [`Delivery`] and obeys it: it reports what happened ([`Input`]) and
//! does what it is told ([`Action`]). That no frame and no alert is skipped and none overtaken is
//! decided here and proved by the simulation below, which knows no network.
//!
//! Invariant: `cursor ≤ durable`. What could vanish in a crash is never sent, so the number of a
//! frame means the same lines for ever.

use crate::io::Chance;
use crate::store::Seq;
use crate::units::{Period, Timestamp};

/// Longest wait after the first failure.
const BACKOFF_MIN: Period = Period(250);

/// Longest wait after any number of failures.
const BACKOFF_MAX: Period = Period::from_secs(60);

/// Longest wait that a receiver may ask for.
const PAUSE_MAX: Period = Period::from_secs(300);

/// A place in the two lists of the store that sinks read: frames, and transitions of alerts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Position {
    /// The last frame.
    pub frame: Seq,
    /// The number of the last transition.
    pub alert: i64,
}

impl Position {
    /// Nothing lies behind it that is not behind `other`, too.
    pub fn is_reached_by(self, other: Self) -> bool {
        self.frame <= other.frame && self.alert <= other.alert
    }

    /// The farther of both in each list.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { frame: self.frame.max(other.frame), alert: self.alert.max(other.alert) }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Input {
    /// The store keeps everything up to here, whatever happens.
    Durable(Position),
    /// Everything up to here is done: taken by the receiver, or gone from the store.
    Accepted(Position),
    /// The receiver, or the way to it, failed. What was sent may have arrived all the same. It may
    /// have asked for a pause.
    Failed(Option<Period>),
    /// Time passed.
    Tick,
}

/// What to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Send what comes first after this, then report `Accepted` or `Failed`.
    SendAfter(Position),
    /// Wait until this moment, unless something happens.
    WaitUntil(Timestamp),
    /// Wait until something happens.
    Idle,
}

/// How far one sink is.
#[derive(Debug)]
pub struct Delivery {
    cursor: Position,
    durable: Position,
    sending: bool,
    failures: u32,
    retry_at: Timestamp,
}

impl Delivery {
    /// Goes on after `cursor`, the last that is known to be done.
    pub fn new(cursor: Position) -> Self {
        Self { cursor, durable: cursor, sending: false, failures: 0, retry_at: Timestamp(0) }
    }

    /// The last that is done.
    pub fn cursor(&self) -> Position {
        self.cursor
    }

    /// The newest that may be sent.
    pub fn durable(&self) -> Position {
        self.durable
    }

    /// How often the next frame failed so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The store is known to keep everything up to `position`; changes nothing that goes on.
    pub fn note_durable(&mut self, position: Position) {
        self.durable = self.durable.max(position);
    }

    /// Takes note of `input` at `now` and says what to do.
    pub fn handle(&mut self, now: Timestamp, input: Input, chance: &mut dyn Chance) -> Action {
        match input {
            Input::Durable(position) => self.note_durable(position),
            Input::Accepted(position) => {
                assert!(self.sending, "an answer to a question nobody asked");
                assert!(
                    self.cursor != position && self.cursor.is_reached_by(position),
                    "the cursor only moves forward"
                );
                self.sending = false;
                self.failures = 0;
                self.retry_at = Timestamp(0);
                self.cursor = position;
            }
            Input::Failed(pause) => {
                self.sending = false;
                let wait = self.backoff(chance).max(pause.unwrap_or_default().min(PAUSE_MAX));
                self.retry_at = now.plus_ms(wait.ms());
                self.failures = self.failures.saturating_add(1);
            }
            Input::Tick => (),
        }
        assert!(self.cursor.is_reached_by(self.durable), "nothing is sent before it is safe");
        self.next_action(now)
    }

    fn next_action(&mut self, now: Timestamp) -> Action {
        if self.sending || self.cursor == self.durable {
            return Action::Idle;
        }
        // A retry further away than any wait means that the clock was set back.
        let wait = self.retry_at.since(now);
        if now < self.retry_at && wait <= PAUSE_MAX {
            return Action::WaitUntil(self.retry_at);
        }
        self.sending = true;
        Action::SendAfter(self.cursor)
    }

    /// A wait of any length up to a limit that doubles: sinks that failed together, because one
    /// receiver went away, do not come back together.
    fn backoff(&self, chance: &mut dyn Chance) -> Period {
        let doubled = BACKOFF_MIN.ms() << self.failures.min(16);
        Period(chance.next_u64() % (doubled.min(BACKOFF_MAX.ms()) + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Seeded;

    struct Fixed(u64);

    impl Chance for Fixed {
        fn next_u64(&mut self) -> u64 {
            self.0
        }
    }

    /// A frame, and no alert.
    fn at(frame: u64) -> Position {
        Position { frame: Seq(frame), alert: 0 }
    }

    #[test]
    fn waits_grow_to_a_minute_and_a_success_forgets_them() {
        // `Fixed` draws the longest wait that is allowed each time.
        let mut delivery = Delivery::new(at(0));
        let mut now = Timestamp::from_secs(1000);
        let mut action = delivery.handle(now, Input::Durable(at(9)), &mut Fixed(0));
        for full in [250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000] {
            assert_eq!(Action::SendAfter(at(0)), action);
            action = delivery.handle(now, Input::Failed(None), &mut Fixed(full));
            assert_eq!(Action::WaitUntil(now.plus_ms(full)), action);
            now = now.plus_ms(full);
            action = delivery.handle(now, Input::Tick, &mut Fixed(0));
        }
        action = delivery.handle(now, Input::Accepted(at(1)), &mut Fixed(0));
        assert_eq!(Action::SendAfter(at(1)), action);
        let first = delivery.handle(now, Input::Failed(None), &mut Fixed(250));
        assert_eq!(Action::WaitUntil(now.plus_ms(250)), first);
    }

    #[test]
    fn a_receiver_may_ask_for_a_pause_of_five_minutes_at_most() {
        let mut delivery = Delivery::new(at(0));
        let now = Timestamp::from_secs(1000);
        for (asked, granted) in [(10, 10), (86_400, 300), (0, 1)] {
            let mut action = delivery.handle(now, Input::Durable(at(1)), &mut Fixed(0));
            if let Action::WaitUntil(_) = action {
                delivery = Delivery::new(at(0));
                action = delivery.handle(now, Input::Durable(at(1)), &mut Fixed(0));
            }
            assert_eq!(Action::SendAfter(at(0)), action);
            let pause = Some(Period::from_secs(asked));
            let action = delivery.handle(now, Input::Failed(pause), &mut Fixed(200));
            let granted = if asked == 0 { 200 } else { granted * 1000 };
            assert_eq!(Action::WaitUntil(now.plus_ms(granted)), action);
        }
    }

    #[test]
    fn an_alert_without_a_new_frame_is_sent() {
        let mut delivery = Delivery::new(at(3));
        let now = Timestamp::from_secs(1);
        let newer = Position { frame: Seq(3), alert: 2 };
        let action = delivery.handle(now, Input::Durable(newer), &mut Fixed(0));
        assert_eq!(Action::SendAfter(at(3)), action);
        assert_eq!(Action::Idle, delivery.handle(now, Input::Accepted(newer), &mut Fixed(0)));
        assert_eq!(newer, delivery.cursor());
    }

    #[test]
    fn a_clock_set_back_does_not_stop_the_sink() {
        let mut delivery = Delivery::new(at(0));
        let late = Timestamp::from_secs(1_000_000);
        delivery.handle(late, Input::Durable(at(1)), &mut Fixed(0));
        delivery.handle(late, Input::Failed(None), &mut Fixed(250));
        let early = Timestamp::from_secs(1000);
        let action = delivery.handle(early, Input::Tick, &mut Fixed(0));
        assert_eq!(Action::SendAfter(at(0)), action);
    }

    /// Goal: whatever the receiver does, whenever we crash and whatever the store gives up, every
    /// frame that the store still had arrives, in order.
    ///
    /// Method: a thousand seeds of a world in which answers get lost, the daemon crashes and goes
    /// on from its saved cursor, frames become durable bit by bit, and old ones are deleted. A
    /// failure prints its seed, and that seed alone repeats it.
    #[test]
    fn every_frame_arrives_at_least_once_and_in_order() {
        for seed in 1..=1000 {
            World::new(seed).run();
        }
    }

    const FRAMES: u64 = 25;
    const ALERTS: i64 = 7;
    const END: Position = Position { frame: Seq(FRAMES), alert: ALERTS };

    struct World {
        seed: u64,
        chance: Seeded,
        now: Timestamp,
        durable: Position,
        /// Frames up to here were deleted before they were sent.
        deleted: Seq,
        saved: Position,
        received: Vec<Seq>,
        alerts: Vec<i64>,
        lost: Vec<Seq>,
        delivery: Delivery,
    }

    impl World {
        fn new(seed: u64) -> Self {
            Self {
                seed,
                chance: Seeded::new(seed),
                now: Timestamp::from_secs(1),
                durable: at(0),
                deleted: Seq(0),
                saved: at(0),
                received: Vec::new(),
                alerts: Vec::new(),
                lost: Vec::new(),
                delivery: Delivery::new(at(0)),
            }
        }

        fn happens(&mut self, percent: u64) -> bool {
            self.chance.next_u64() >> 33 < percent * (1 << 31) / 100
        }

        fn tell(&mut self, input: Input) -> Action {
            self.delivery.handle(self.now, input, &mut self.chance)
        }

        fn run(mut self) {
            let seed = self.seed;
            let mut action = Action::Idle;
            for step in 0.. {
                assert!(step < 100_000, "seed {seed}: never done");
                if self.delivery.cursor() == END {
                    break;
                }
                if self.happens(5) {
                    self.delivery = Delivery::new(self.saved);
                    action = self.tell(Input::Durable(self.durable));
                }
                action = match action {
                    Action::SendAfter(position) => self.send_after(position),
                    Action::WaitUntil(then) => {
                        assert!(self.now < then, "seed {seed}: waits for the past");
                        self.now = then;
                        self.tell(Input::Tick)
                    }
                    Action::Idle => {
                        let behind = self.delivery.cursor() != self.durable;
                        assert!(!behind, "seed {seed}: idle with something left");
                        self.grow();
                        self.tell(Input::Durable(self.durable))
                    }
                };
                if self.happens(20) {
                    self.saved = self.delivery.cursor();
                }
            }
            self.check();
        }

        /// Frames or alerts are stored.
        fn grow(&mut self) {
            if self.happens(30) || self.durable.frame == END.frame {
                self.durable.alert = ALERTS.min(self.durable.alert + 1);
            } else {
                let more = self.durable.frame.0 + 1 + self.seed % 3;
                self.durable.frame = Seq(FRAMES.min(more));
            }
        }

        /// Sends a run of up to three frames, and all alerts.
        fn send_after(&mut self, position: Position) -> Action {
            let seed = self.seed;
            assert!(position.is_reached_by(self.durable), "seed {seed}: sends what is not safe");
            let seq = position.frame;
            if self.happens(2) && seq < self.durable.frame {
                let first = seq.0.max(self.deleted.0) + 1;
                self.deleted = self.deleted.max(Seq(self.durable.frame.0.min(first)));
                self.lost.extend((first..=self.deleted.0).map(Seq));
            }
            let first = seq.0.max(self.deleted.0) + 1;
            let last = (first + 2).min(self.durable.frame.0);
            let alerts = position.alert + 1..=self.durable.alert;
            if self.happens(30) {
                // A part may have arrived although its answer did not.
                if self.happens(50) {
                    self.alerts.extend(alerts);
                    self.received.extend((first..=last).take(1).map(Seq));
                }
                return self.tell(Input::Failed(None));
            }
            self.received.extend((first..=last).map(Seq));
            self.alerts.extend(alerts);
            let frame = Seq(last.max(seq.0));
            self.tell(Input::Accepted(Position { frame, alert: self.durable.alert }))
        }

        fn check(&self) {
            let mut newest = Seq(0);
            for seq in &self.received {
                let skipped = (newest.0 + 1..seq.0).map(Seq);
                for skipped in skipped {
                    assert!(self.lost.contains(&skipped), "seed {}: {skipped} skipped", self.seed);
                }
                newest = newest.max(*seq);
            }
            for seq in (1..=FRAMES).map(Seq) {
                let arrived = self.received.contains(&seq) || self.lost.contains(&seq);
                assert!(arrived, "seed {}: {seq} never arrived", self.seed);
            }
            for alert in 1..=ALERTS {
                assert!(self.alerts.contains(&alert), "seed {}: alert {alert} lost", self.seed);
            }
        }
    }
}
