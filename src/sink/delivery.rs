//! Decides when a sink sends, waits and moves on. No I/O, no clock, no chance of its own.
//!
//! The task of a sink owns one [`Delivery`] and obeys it: it reports what happened ([`Input`]) and
//! does what it is told ([`Action`]). That no frame is skipped and none overtaken is decided here
//! and proved by the simulation below, which knows no network.
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

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Input {
    /// The store keeps everything up to this frame, whatever happens.
    Durable(Seq),
    /// Everything up to this frame is done: taken by the receiver, or gone from the store.
    Accepted(Seq),
    /// The receiver, or the way to it, failed. The frame may have arrived all the same.
    Failed,
    /// Time passed.
    Tick,
}

/// What to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Send the first frame after this one, then report `Accepted` or `Failed`.
    SendAfter(Seq),
    /// Wait until this moment, unless something happens.
    WaitUntil(Timestamp),
    /// Wait until something happens.
    Idle,
}

/// How far one sink is.
#[derive(Debug)]
pub struct Delivery {
    cursor: Seq,
    durable: Seq,
    sending: bool,
    failures: u32,
    retry_at: Timestamp,
}

impl Delivery {
    /// Goes on after `cursor`, the last frame known to be done.
    pub fn new(cursor: Seq) -> Self {
        Self { cursor, durable: cursor, sending: false, failures: 0, retry_at: Timestamp(0) }
    }

    /// The last frame that is done.
    pub fn cursor(&self) -> Seq {
        self.cursor
    }

    /// The newest frame that may be sent.
    pub fn durable(&self) -> Seq {
        self.durable
    }

    /// How often the next frame failed so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Takes note of `input` at `now` and says what to do.
    pub fn handle(&mut self, now: Timestamp, input: Input, chance: &mut dyn Chance) -> Action {
        match input {
            Input::Durable(seq) => self.durable = self.durable.max(seq),
            Input::Accepted(seq) => {
                assert!(self.sending, "an answer to a question nobody asked");
                assert!(self.cursor < seq, "the cursor only moves forward");
                self.sending = false;
                self.failures = 0;
                self.retry_at = Timestamp(0);
                self.cursor = seq;
            }
            Input::Failed => {
                self.sending = false;
                self.retry_at = now.plus_ms(self.backoff(chance).ms());
                self.failures = self.failures.saturating_add(1);
            }
            Input::Tick => (),
        }
        assert!(self.cursor <= self.durable, "nothing is sent before it is safe");
        self.next_action(now)
    }

    fn next_action(&mut self, now: Timestamp) -> Action {
        if self.sending || self.cursor == self.durable {
            return Action::Idle;
        }
        // A retry further away than any wait means that the clock was set back.
        let wait = self.retry_at.since(now);
        if now < self.retry_at && wait <= BACKOFF_MAX {
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

    #[test]
    fn waits_grow_to_a_minute_and_a_success_forgets_them() {
        // `Fixed` draws the longest wait that is allowed each time.
        let mut delivery = Delivery::new(Seq(0));
        let mut now = Timestamp::from_secs(1000);
        let mut action = delivery.handle(now, Input::Durable(Seq(9)), &mut Fixed(0));
        for full in [250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000] {
            assert_eq!(Action::SendAfter(Seq(0)), action);
            action = delivery.handle(now, Input::Failed, &mut Fixed(full));
            assert_eq!(Action::WaitUntil(now.plus_ms(full)), action);
            now = now.plus_ms(full);
            action = delivery.handle(now, Input::Tick, &mut Fixed(0));
        }
        action = delivery.handle(now, Input::Accepted(Seq(1)), &mut Fixed(0));
        assert_eq!(Action::SendAfter(Seq(1)), action);
        let first = delivery.handle(now, Input::Failed, &mut Fixed(250));
        assert_eq!(Action::WaitUntil(now.plus_ms(250)), first);
    }

    #[test]
    fn a_clock_set_back_does_not_stop_the_sink() {
        let mut delivery = Delivery::new(Seq(0));
        let late = Timestamp::from_secs(1_000_000);
        delivery.handle(late, Input::Durable(Seq(1)), &mut Fixed(0));
        delivery.handle(late, Input::Failed, &mut Fixed(250));
        let early = Timestamp::from_secs(1000);
        let action = delivery.handle(early, Input::Tick, &mut Fixed(0));
        assert_eq!(Action::SendAfter(Seq(0)), action);
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

    struct World {
        seed: u64,
        chance: Seeded,
        now: Timestamp,
        durable: Seq,
        /// Frames up to here were deleted before they were sent.
        deleted: Seq,
        saved: Seq,
        received: Vec<Seq>,
        lost: Vec<Seq>,
        delivery: Delivery,
    }

    impl World {
        fn new(seed: u64) -> Self {
            Self {
                seed,
                chance: Seeded::new(seed),
                now: Timestamp::from_secs(1),
                durable: Seq(0),
                deleted: Seq(0),
                saved: Seq(0),
                received: Vec::new(),
                lost: Vec::new(),
                delivery: Delivery::new(Seq(0)),
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
                if self.delivery.cursor() == Seq(FRAMES) {
                    break;
                }
                if self.happens(5) {
                    self.delivery = Delivery::new(self.saved);
                    action = self.tell(Input::Durable(self.durable));
                }
                action = match action {
                    Action::SendAfter(seq) => self.send_after(seq),
                    Action::WaitUntil(then) => {
                        assert!(self.now < then, "seed {seed}: waits for the past");
                        self.now = then;
                        self.tell(Input::Tick)
                    }
                    Action::Idle => {
                        let behind = self.delivery.cursor() < self.durable;
                        assert!(!behind, "seed {seed}: idle with frames left");
                        self.durable = Seq(FRAMES.min(self.durable.0 + 1 + seed % 3));
                        self.tell(Input::Durable(self.durable))
                    }
                };
                if self.happens(20) {
                    self.saved = self.delivery.cursor();
                }
            }
            self.check();
        }

        fn send_after(&mut self, seq: Seq) -> Action {
            assert!(seq < self.durable, "seed {}: sends what is not safe", self.seed);
            if self.happens(2) {
                let first = seq.0.max(self.deleted.0) + 1;
                self.deleted = self.deleted.max(Seq(self.durable.0.min(first)));
                self.lost.extend((first..=self.deleted.0).map(Seq));
            }
            let next = Seq(seq.0.max(self.deleted.0) + 1);
            if self.durable < next {
                return self.tell(Input::Accepted(self.durable));
            }
            if self.happens(30) {
                // The frame may have arrived although its answer did not.
                if self.happens(50) {
                    self.received.push(next);
                }
                return self.tell(Input::Failed);
            }
            self.received.push(next);
            self.tell(Input::Accepted(next))
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
        }
    }
}
