//! Weeks of members who log in, and adversaries who guess: the login log of an application.
//!
//! Members are honest and awkward: most come on Thursday evening, a third of them from one office
//! address; some mistype, a few have forgotten their password and try for a while. Each adversary
//! of [`ADVERSARIES`] guesses in its own rhythm, and says by which rule it must be noticed at which
//! of its tries.
//!
//! Invariant: lines are in order of time; the same configuration gives the same bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::random::Random;
use crate::units::Timestamp;

/// Who guesses passwords, how, and what must notice it.
#[derive(Debug)]
pub struct Adversary {
    /// The name on the command line.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// Tries in all.
    pub tries: u64,
    /// Milliseconds from try to try.
    every: u64,
    client: fn(u64) -> IpAddr,
    /// Which member's name is tried.
    user: fn(u64) -> u64,
    /// The try that succeeds.
    succeeds: Option<u64>,
    /// Rules that must fire, and at which try at the latest.
    pub yields: &'static [(&'static str, u64)],
    /// Rules that must stay silent, because they would tell it wrong.
    pub never: &'static [&'static str],
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn one_client(_: u64) -> IpAddr {
    Ipv4Addr::new(203, 0, 113, 7).into()
}

fn one_user(_: u64) -> u64 {
    7
}

fn each_user(n: u64) -> u64 {
    n % 200
}

/// Addresses all over the benchmarking block 198.18.0.0/15.
fn many_clients(n: u64) -> IpAddr {
    let spread = n.wrapping_mul(0x9e37_79b9) as u32;
    Ipv4Addr::from(0xc612_0000 | (spread & 0x0001_ffff)).into()
}

/// A new address of one /64 for each try.
fn one_subscriber(n: u64) -> IpAddr {
    Ipv6Addr::from(0x2001_0db8_0000_0007_0000_0000_0000_0000 + u128::from(n) * 0x1_0001).into()
}

/// A new address of one /24 for each try.
fn one_neighbourhood(n: u64) -> IpAddr {
    Ipv4Addr::new(203, 0, 113, (n % 250) as u8 + 1).into()
}

/// 1.18 tries an address: 20 tries from 17 addresses.
fn stuffing_clients(n: u64) -> IpAddr {
    many_clients(n * 17 / 20)
}

/// What every adversary has in common.
const GUESSER: Adversary = Adversary {
    name: "",
    about: "",
    tries: 0,
    every: MINUTE,
    client: one_client,
    user: one_user,
    succeeds: None,
    yields: &[],
    never: &[],
};

/// Every adversary.
pub const ADVERSARIES: &[Adversary] = &[
    Adversary {
        name: "fast",
        about: "one client, one user, a try a second",
        tries: 120,
        every: SECOND,
        yields: &[("auth.bruteforce.client", 20)],
        ..GUESSER
    },
    Adversary {
        name: "every-3-minutes",
        about: "one client, one user, a try every three minutes",
        tries: 60,
        every: 3 * MINUTE,
        yields: &[("auth.bruteforce.user", 20)],
        ..GUESSER
    },
    Adversary {
        name: "every-10-minutes",
        about: "one client, one user, a try every ten minutes",
        tries: 100,
        every: 10 * MINUTE,
        yields: &[("auth.bruteforce.client_week", 25), ("auth.bruteforce.client_day", 30)],
        ..GUESSER
    },
    Adversary {
        name: "every-30-minutes",
        about: "one client, one user, a try every half hour",
        tries: 100,
        every: 30 * MINUTE,
        yields: &[("auth.bruteforce.client_week", 25), ("auth.bruteforce.client_day", 30)],
        ..GUESSER
    },
    Adversary {
        name: "every-2-hours",
        about: "one client, one user, a try every two hours",
        tries: 60,
        every: 2 * HOUR,
        yields: &[("auth.bruteforce.client_week", 25)],
        ..GUESSER
    },
    Adversary {
        name: "spray",
        about: "one client, another user each minute",
        tries: 200,
        user: each_user,
        yields: &[("auth.spray.client", 8)],
        ..GUESSER
    },
    Adversary {
        name: "slow-spray",
        about: "one client, another user every quarter of an hour",
        tries: 200,
        every: 15 * MINUTE,
        user: each_user,
        yields: &[("auth.spray.client_day", 10)],
        ..GUESSER
    },
    Adversary {
        name: "distributed",
        about: "a hundred clients, one user, a try every five minutes",
        tries: 100,
        every: 5 * MINUTE,
        client: many_clients,
        yields: &[("auth.distributed.user", 5)],
        ..GUESSER
    },
    Adversary {
        name: "slow-distributed",
        about: "a hundred clients, one user, a try an hour",
        tries: 100,
        every: HOUR,
        client: many_clients,
        yields: &[("auth.distributed.user_day", 8)],
        ..GUESSER
    },
    Adversary {
        name: "stuffing",
        about: "two thousand tries in four hours, hardly two from one client",
        tries: 2000,
        every: 7200,
        client: stuffing_clients,
        user: each_user,
        yields: &[("auth.stuffing.site", 25)],
        ..GUESSER
    },
    Adversary {
        name: "slow-stuffing",
        about: "two thousand tries in five days, hardly two from one client",
        tries: 2000,
        every: 216 * SECOND,
        client: stuffing_clients,
        user: each_user,
        yields: &[("auth.stuffing.site_day", 101)],
        ..GUESSER
    },
    Adversary {
        name: "subscriber-spray",
        about: "another address of one /64 and another user every two minutes",
        tries: 200,
        every: 2 * MINUTE,
        client: one_subscriber,
        user: each_user,
        yields: &[("auth.spray.client", 8)],
        ..GUESSER
    },
    Adversary {
        name: "subscriber",
        about: "another address of one /64 every two minutes, one user",
        tries: 100,
        every: 2 * MINUTE,
        client: one_subscriber,
        yields: &[("auth.bruteforce.user", 20)],
        never: &["auth.distributed.user", "auth.distributed.user_day"],
        ..GUESSER
    },
    Adversary {
        name: "neighbourhood-spray",
        about: "another address of one /24 and another user every two minutes",
        tries: 200,
        every: 2 * MINUTE,
        client: one_neighbourhood,
        user: each_user,
        yields: &[("auth.spray.prefix", 15)],
        ..GUESSER
    },
    Adversary {
        name: "guessed",
        about: "one client, one user, eighteen tries in half an hour, and then it succeeds",
        tries: 19,
        every: 107 * SECOND,
        succeeds: Some(19),
        yields: &[("auth.success_after_failures", 19)],
        ..GUESSER
    },
    Adversary {
        name: "spray-hits",
        about: "one client, another user every five minutes; the fortieth has that password",
        tries: 60,
        every: 5 * MINUTE,
        user: each_user,
        succeeds: Some(40),
        yields: &[("auth.spray.client", 8), ("auth.spray_then_success", 40)],
        ..GUESSER
    },
];

impl Adversary {
    /// The adversary of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ADVERSARIES.iter().find(|adversary| adversary.name == name)
    }

    /// When it makes try `number`, counted from 1, if it begins at `start`.
    pub fn time(&self, start: Timestamp, number: u64) -> Timestamp {
        start.plus_ms(self.every * (number - 1))
    }

    /// Tries up to and including `time`.
    pub fn tries_until(&self, start: Timestamp, time: Timestamp) -> u64 {
        (time.since(start).ms() / self.every + 1).min(self.tries)
    }

    fn attempts(&self, start: Timestamp) -> impl Iterator<Item = Attempt> + '_ {
        (1..=self.tries).map(move |number| Attempt {
            time: self.time(start, number),
            client: (self.client)(number - 1),
            user: (self.user)(number - 1),
            is_success: self.succeeds == Some(number),
        })
    }
}

/// What a simulated login log is like.
#[derive(Clone, Debug)]
pub struct LoginsConfig {
    /// Decides everything that chance decides.
    pub seed: u64,
    /// Midnight at the start of a Monday.
    pub start: Timestamp,
    /// How many weeks.
    pub weeks: u64,
    /// Members, each of whom logs in once a week at least.
    pub members: u64,
}

/// One try to log in.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    time: Timestamp,
    client: IpAddr,
    user: u64,
    is_success: bool,
}

/// The login log of the weeks of `config`, with the tries of adversaries from their starts on:
/// JSON, a line for each try.
pub fn logins(config: &LoginsConfig, adversaries: &[(&Adversary, Timestamp)]) -> Vec<u8> {
    let mut attempts = members(config);
    for (adversary, start) in adversaries {
        attempts.extend(adversary.attempts(*start));
    }
    attempts.sort_by_key(|attempt| attempt.time);
    attempts.iter().flat_map(Attempt::line).collect()
}

impl Attempt {
    fn line(&self) -> Vec<u8> {
        let (time, user, client) = (self.time.rfc3339(), self.user, self.client);
        let outcome = if self.is_success { "success" } else { "failure" };
        format!(
            "{{\"time\":\"{time}\",\"event\":\"login\",\"outcome\":\"{outcome}\",\
             \"user\":\"member{user}\",\"ip\":\"{client}\"}}\n"
        )
        .into_bytes()
    }
}

/// What members do: assumed rates, of a thousand log-ins.
const MISTYPED: u64 = 60;
const FORGOTTEN: u64 = 15;

/// Of a thousand members this many are behind the office's address.
const AT_THE_OFFICE: u64 = 300;

fn members(config: &LoginsConfig) -> Vec<Attempt> {
    let mut random = Random::new(config.seed, 11);
    let mut attempts = Vec::new();
    for week in 0..config.weeks {
        for member in 0..config.members {
            let from = |random: &mut Random| match random.permille(AT_THE_OFFICE) {
                true => Ipv4Addr::new(192, 0, 2, 1),
                false => Ipv4Addr::from(0x0a00_0000 + member as u32 * 256 + 9),
            };
            let client = IpAddr::from(from(&mut random));
            // Thursday from 16 to 22 o'clock; one in five looks in on another day, too.
            let evening = 3 * DAY + 16 * HOUR + random.below(6 * HOUR);
            log_in(
                &mut random,
                member,
                client,
                config.start.plus_ms(7 * DAY * week + evening),
                &mut attempts,
            );
            if random.permille(200) {
                let other = random.below(6) * DAY + 8 * HOUR + random.below(14 * HOUR);
                let time = config.start.plus_ms(7 * DAY * week + other);
                log_in(&mut random, member, client, time, &mut attempts);
            }
        }
    }
    attempts
}

/// One log-in of a member, with the tries that fail before.
fn log_in(
    random: &mut Random,
    user: u64,
    client: IpAddr,
    mut time: Timestamp,
    attempts: &mut Vec<Attempt>,
) {
    let fate = random.below(1000);
    let mut failures = 0;
    if fate < FORGOTTEN {
        // Each further try is as likely as four in five, so some try a dozen times and more.
        failures = 2;
        while random.permille(800) && failures < 40 {
            failures += 1;
        }
    } else if fate < FORGOTTEN + MISTYPED {
        failures = 1 + random.below(2);
    }
    for _ in 0..failures {
        attempts.push(Attempt { time, client, user, is_success: false });
        time = time.plus_ms(12 * SECOND + random.below(60 * SECOND));
    }
    // Of those who have forgotten it half give up.
    let gives_up = fate < FORGOTTEN && random.permille(500);
    if !gives_up {
        attempts.push(Attempt { time, client, user, is_success: true });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_of_members_is_mostly_honest_and_in_order() {
        let start = Timestamp::from_secs(1_794_787_200);
        let config = LoginsConfig { seed: 1, start, weeks: 4, members: 200 };
        let log = String::from_utf8(logins(&config, &[])).expect("text");
        let failures = log.matches("failure").count();
        assert!((60..200).contains(&failures), "{failures} failures in four weeks");
        let times: Vec<&str> = log.lines().map(|line| &line[9..33]).collect();
        assert!(times.is_sorted());
        assert_eq!(log.as_bytes(), logins(&config, &[]), "the same again");
    }

    #[test]
    fn names_are_told_apart() {
        for adversary in ADVERSARIES {
            assert_eq!(adversary.about, Adversary::named(adversary.name).expect("it").about);
        }
    }
}
