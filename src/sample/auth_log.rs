//! The login log of the machine behind the site: sshd, PAM and sudo lines of syslog.
//!
//! Few people and one backup job log in; now and then a stranger tries a name. Attacks on log-ins
//! show here too, as guesses of passwords for ssh.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use super::TrafficConfig;
use super::attack::{AttackKind, Courses, Step};
use super::clients::address;
use super::random::{Random, mix};
use super::truth::{Counts, Truth};
use super::week::Week;
use crate::units::Timestamp;

/// Accounts that log in with a key.
const ACCOUNTS: [&str; 4] = ["backup", "deploy", "operator1", "operator2"];

/// Names that strangers try.
const GUESSED: [&str; 12] = [
    "admin", "test", "ubuntu", "oracle", "git", "ftpuser", "postgres", "pi", "user", "guest",
    "support", "www",
];

/// Strangers come from the ranks after this one, where no account's address lies.
const STRANGERS: u32 = 1000;

/// Writes a login log, line by line. Its clients are few, whatever the configuration says.
#[derive(Debug)]
pub struct AuthLog {
    week: Week,
    next_slot: Option<u64>,
    random: Random,
    courses: Courses,
    session: Session,
    counts: Counts,
    clients: BTreeSet<IpAddr>,
    message: String,
}

/// What goes on between the server and one client: a few lines in a fixed order.
#[derive(Clone, Copy, Debug)]
struct Session {
    sort: Sort,
    step: usize,
    rank: u32,
    pid: u32,
    port: u16,
    name: &'static str,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sort {
    Key,
    Password,
    Stranger,
    Sudo,
}

impl Sort {
    const fn steps(self) -> usize {
        match self {
            Self::Key | Self::Password => 4,
            Self::Stranger => 3,
            Self::Sudo => 1,
        }
    }
}

impl AuthLog {
    /// Prepares the log that `config` describes.
    pub fn new(config: &TrafficConfig) -> Self {
        let courses = Courses::new(config.seed, &config.attacks, AttackKind::is_about_log_ins);
        let ordinary = config.lines.saturating_sub(courses.lines());
        let mut week = Week::new(config.start.ms(), config.length.ms(), ordinary);
        let mut random = Random::new(config.seed, 3);
        let session = Session::begin(&mut random);
        Self {
            next_slot: week.next_time(&mut random),
            week,
            random,
            courses,
            session,
            counts: Counts::new(),
            clients: BTreeSet::new(),
            message: String::new(),
        }
    }

    /// Appends the next line, with its line feed; false at the end of the log.
    pub fn next_line(&mut self, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        let attack_at = self.courses.next_at();
        self.message.clear();
        let at = match self.next_slot {
            Some(at) if at <= attack_at => {
                self.ordinary_message();
                self.next_slot = self.week.next_time(&mut self.random);
                at
            }
            None if attack_at == u64::MAX => return false,
            _ => {
                self.attack_message(attack_at);
                attack_at
            }
        };
        Timestamp::from_ms(at).write_rfc3339(out);
        out.extend_from_slice(b" web1 ");
        out.extend_from_slice(self.message.as_bytes());
        out.push(b'\n');
        self.counts.line(out.len() - before);
        true
    }

    /// What has been written so far.
    pub fn truth(&self) -> Truth {
        self.counts.truth(self.clients.len() as u64, self.courses.episodes())
    }

    fn ordinary_message(&mut self) {
        let session = self.session;
        let log_in = session.write(&mut self.message);
        self.counts.log_in(log_in);
        if session.sort != Sort::Sudo && (session.step != 1 || session.sort == Sort::Stranger) {
            self.clients.insert(address(session.rank));
        }
        self.session.step += 1;
        if self.session.step == session.sort.steps() {
            self.session = Session::begin(&mut self.random);
        }
    }

    fn attack_message(&mut self, at: u64) {
        let (course, step) = self.courses.take();
        course.count(at, Some(step.client), step.succeeds);
        let is_root = course.kind() == AttackKind::BruteForce;
        write_guess(step, is_root, &mut self.message);
        self.counts.log_in(Some(step.succeeds));
    }
}

impl Session {
    fn begin(random: &mut Random) -> Self {
        let sort = random.weighted(&[
            (Sort::Key, 12),
            (Sort::Password, 1),
            (Sort::Stranger, 3),
            (Sort::Sudo, 5),
        ]);
        let account = random.below(ACCOUNTS.len() as u64) as u32;
        let is_stranger = sort == Sort::Stranger;
        Self {
            sort,
            step: 0,
            rank: if is_stranger { STRANGERS + random.below(5000) as u32 } else { account },
            pid: 1_000 + random.below(3_000_000) as u32,
            port: 32_768 + random.below(28_000) as u16,
            name: if is_stranger {
                *random.pick::<&str>(&GUESSED)
            } else {
                ACCOUNTS[account as usize]
            },
        }
    }

    /// Appends the line that is due, and answers how a log-in ended, if it is about one.
    fn write(&self, out: &mut String) -> Option<bool> {
        let Self { sort, step, rank, pid, port, name } = *self;
        let client = address(rank);
        let result = match (sort, step) {
            (Sort::Key, 0) => {
                let digest = mix(u64::from(rank));
                write!(
                    out,
                    "sshd[{pid}]: Accepted publickey for {name} from {client} port {port} ssh2: \
                     ED25519 SHA256:{digest:016x}Zk3{digest:016X}9tLfQ2wB"
                )
            }
            (Sort::Password, 0) => write!(
                out,
                "sshd[{pid}]: Accepted password for {name} from {client} port {port} ssh2"
            ),
            (Sort::Key | Sort::Password, 1) => write!(
                out,
                "sshd[{pid}]: pam_unix(sshd:session): session opened for user {name}(uid={}) by \
                 {name}(uid=0)",
                1001 + rank
            ),
            (Sort::Key | Sort::Password, 2) => {
                write!(out, "sshd[{pid}]: Disconnected from user {name} {client} port {port}")
            }
            (Sort::Key | Sort::Password, _) => {
                write!(out, "sshd[{pid}]: pam_unix(sshd:session): session closed for user {name}")
            }
            (Sort::Stranger, 0) => {
                write!(out, "sshd[{pid}]: Invalid user {name} from {client} port {port}")
            }
            (Sort::Stranger, 1) => write!(
                out,
                "sshd[{pid}]: Failed password for invalid user {name} from {client} port {port} \
                 ssh2"
            ),
            (Sort::Stranger, _) => write!(
                out,
                "sshd[{pid}]: Connection closed by invalid user {name} {client} port {port} \
                 [preauth]"
            ),
            (Sort::Sudo, _) => write!(
                out,
                "sudo[{pid}]: {name} : TTY=pts/0 ; PWD=/srv/www ; USER=root ; \
                 COMMAND=/usr/bin/systemctl reload nginx"
            ),
        };
        result.expect("a string takes every character");
        match (sort, step) {
            (Sort::Key | Sort::Password, 0) => Some(true),
            (Sort::Stranger, 1) => Some(false),
            _ => None,
        }
    }
}

fn write_guess(step: Step, is_root: bool, out: &mut String) {
    let Step { number, client, member, succeeds } = step;
    let (pid, port) = (90_000 + number, 40_000 + number);
    let verdict = if succeeds { "Accepted" } else { "Failed" };
    let result = match is_root {
        true => {
            write!(out, "sshd[{pid}]: {verdict} password for root from {client} port {port} ssh2")
        }
        false => write!(
            out,
            "sshd[{pid}]: {verdict} password for member{member:03} from {client} port {port} ssh2"
        ),
    };
    result.expect("a string takes every character");
}
