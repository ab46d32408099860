//! Attacks, each with a beginning, a length and a number of lines.
//!
//! Attackers come from 198.51.100.0/24 and 203.0.113.0/24, where no ordinary client lives, so what
//! is found in a log can be compared with what was put into it. An attack is as large whatever the
//! size of the log.

use std::net::{IpAddr, Ipv4Addr};

use super::line::{LineWriter, Request};
use super::random::{Random, mix};
use super::visit::MEMBERS;
use crate::units::{Period, Timestamp};

/// What an attacker does, or what goes wrong.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum AttackKind {
    /// One client tries many passwords of one member.
    BruteForce,
    /// One client tries a few passwords of many members.
    PasswordSpraying,
    /// Many clients try stolen names and passwords; a few fit.
    CredentialStuffing,
    /// One client asks for paths that vulnerable software would have.
    PathScan,
    /// The servers behind the proxy are down.
    Outage,
    /// One client sends a user agent that looks like lines of the log.
    ForgedLines,
}

/// An attack and when it begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Attack {
    /// What happens.
    pub kind: AttackKind,
    /// When.
    pub at: Timestamp,
}

impl AttackKind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::BruteForce,
        Self::PasswordSpraying,
        Self::CredentialStuffing,
        Self::PathScan,
        Self::Outage,
        Self::ForgedLines,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BruteForce => "brute-force",
            Self::PasswordSpraying => "password-spraying",
            Self::CredentialStuffing => "credential-stuffing",
            Self::PathScan => "path-scan",
            Self::Outage => "outage",
            Self::ForgedLines => "forged-lines",
        }
    }

    /// How many lines it adds to an access log. An outage changes ordinary lines as well.
    pub const fn lines(self) -> u64 {
        match self {
            Self::BruteForce => 240,
            Self::PasswordSpraying => 120,
            Self::CredentialStuffing => 900,
            Self::PathScan => 300,
            Self::Outage => 300,
            Self::ForgedLines => 40,
        }
    }

    /// How long it takes.
    pub const fn length(self) -> Period {
        Period::from_secs(match self {
            Self::BruteForce => 8 * 60,
            Self::PasswordSpraying => 20 * 60,
            Self::CredentialStuffing => 30 * 60,
            Self::PathScan => 5 * 60,
            Self::Outage => 15 * 60,
            Self::ForgedLines => 10 * 60,
        })
    }

    /// Whether it is about log-ins, and so can be seen in a login log too.
    pub(super) const fn is_about_log_ins(self) -> bool {
        matches!(self, Self::BruteForce | Self::PasswordSpraying | Self::CredentialStuffing)
    }
}

/// What an attack has put into the log so far.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Episode {
    /// What happened.
    pub kind: AttackKind,
    /// The attackers that were named, in the order they came; none for an outage.
    pub clients: Vec<IpAddr>,
    /// The member whose password was tried, where there was just one.
    pub user: Option<String>,
    /// Times of its first and its last line.
    pub start: Timestamp,
    /// The last one.
    pub end: Timestamp,
    /// Its lines; those of an outage are all requests that failed while it went on.
    pub lines: u64,
    /// Log-ins of it that went well.
    pub succeeded: u64,
}

/// An attack while it is written.
#[derive(Debug)]
pub(super) struct Course {
    kind: AttackKind,
    /// Position among the attacks of the sample: decides the attacker's address.
    index: u8,
    begin: u64,
    end: u64,
    total: u64,
    next: u64,
    random: Random,
    /// The attackers in their order; none for an outage.
    attackers: Vec<IpAddr>,
    episode: Option<Episode>,
}

/// One line of an attack that is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Counts from zero.
    pub(super) number: u64,
    pub(super) client: IpAddr,
    /// The member whose name is tried.
    pub(super) member: u32,
    /// A password that fits.
    pub(super) succeeds: bool,
}

/// All attacks of a sample.
#[derive(Debug)]
pub(super) struct Courses {
    courses: Vec<Course>,
    /// When the next line of any of them is due; the end of time when all are done.
    next_at: u64,
}

impl Courses {
    pub(super) fn new(seed: u64, attacks: &[Attack], in_log: impl Fn(AttackKind) -> bool) -> Self {
        let attacks = attacks.iter().zip(0u8..=u8::MAX).filter(|(attack, _)| in_log(attack.kind));
        let mut courses = Self {
            courses: attacks.map(|(attack, index)| Course::new(seed, *attack, index)).collect(),
            next_at: 0,
        };
        courses.look_ahead();
        courses
    }

    /// Lines that the attacks add.
    pub(super) fn lines(&self) -> u64 {
        self.courses.iter().map(|course| course.total).sum()
    }

    /// When the next line is due.
    #[inline]
    pub(super) fn next_at(&self) -> u64 {
        self.next_at
    }

    /// The attack whose line is due, and what it says.
    pub(super) fn take(&mut self) -> (&mut Course, Step) {
        let due = self.courses.iter().position(|course| course.next_at() == self.next_at);
        let index = due.expect("only asked when a line is due");
        let step = self.courses[index].step();
        self.look_ahead();
        (&mut self.courses[index], step)
    }

    fn look_ahead(&mut self) {
        self.next_at = self.courses.iter().map(Course::next_at).min().unwrap_or(u64::MAX);
    }

    /// The outage that goes on `at`, in milliseconds since 1970.
    #[inline]
    pub(super) fn outage(&mut self, at: u64) -> Option<&mut Course> {
        // Nearly all samples have few attacks or none, and nearly all lines lie outside of them.
        let is_now = |course: &&mut Course| {
            course.kind == AttackKind::Outage && course.begin <= at && at < course.end
        };
        self.courses.iter_mut().find(is_now)
    }

    pub(super) fn episodes(&self) -> Vec<Episode> {
        self.courses.iter().filter_map(|course| course.episode.clone()).collect()
    }
}

impl Course {
    fn new(seed: u64, attack: Attack, index: u8) -> Self {
        let begin = attack.at.ms();
        Self {
            kind: attack.kind,
            index,
            begin,
            end: begin.saturating_add(attack.kind.length().ms()),
            total: attack.kind.lines(),
            next: 0,
            random: Random::new(seed, 100 + u64::from(index)),
            attackers: attackers(attack.kind, index),
            episode: None,
        }
    }

    pub(super) fn kind(&self) -> AttackKind {
        self.kind
    }

    fn next_at(&self) -> u64 {
        if self.next == self.total {
            return u64::MAX;
        }
        self.begin + self.next * (self.end - self.begin) / self.total
    }

    fn step(&mut self) -> Step {
        let number = self.next;
        self.next += 1;
        let client = match self.attackers.len() as u64 {
            0 => IpAddr::from([0; 4]),
            // Each attacker comes once before any comes twice.
            count if number < count => self.attackers[number as usize],
            count => self.attackers[self.random.below(count) as usize],
        };
        let member = match self.kind {
            AttackKind::BruteForce => self.victim(),
            _ => 1 + (number % u64::from(MEMBERS / 3)) as u32,
        };
        let succeeds = self.kind == AttackKind::CredentialStuffing && number % 60 == 59;
        Step { number, client, member, succeeds }
    }

    /// The one member whose password is guessed.
    fn victim(&self) -> u32 {
        17 + u32::from(self.index)
    }

    /// Takes note of a line, at `at` milliseconds since 1970, that belongs to the attack.
    pub(super) fn count(&mut self, at: u64, client: Option<IpAddr>, succeeded: bool) {
        let at = Timestamp::from_ms(at);
        let victim = self.victim();
        let episode = self.episode.get_or_insert_with(|| Episode {
            kind: self.kind,
            clients: Vec::new(),
            user: (self.kind == AttackKind::BruteForce).then(|| format!("member{victim:03}")),
            start: at,
            end: at,
            lines: 0,
            succeeded: 0,
        });
        episode.end = at;
        episode.lines += 1;
        episode.succeeded += u64::from(succeeded);
        if let Some(client) = client
            && !episode.clients.contains(&client)
        {
            episode.clients.push(client);
        }
    }

    /// Appends a line of any attack but an outage, and answers its status.
    pub(super) fn write(
        &self,
        at: u64,
        step: Step,
        lines: &mut LineWriter,
        out: &mut Vec<u8>,
    ) -> u16 {
        let detail = mix(step.number);
        let request =
            Request { client: step.client, bytes: 180 + detail % 40, ..Request::default() };
        let (mut path, mut agent) = (String::new(), String::new());
        let request = match self.kind {
            AttackKind::BruteForce | AttackKind::PasswordSpraying => {
                let member = Some(step.member);
                let agent = "python-requests/2.32.5";
                Request { member, target: "/files/", status: 401, agent, ..request }
            }
            AttackKind::CredentialStuffing => {
                let status = if step.succeeds { 302 } else { 401 };
                let referrer = "https://www.example.org/login";
                let agent = STUFFING_AGENTS[detail as usize % STUFFING_AGENTS.len()];
                Request { method: "POST", target: "/login", status, referrer, agent, ..request }
            }
            AttackKind::PathScan => {
                path.push_str(SCANNED[step.number as usize % SCANNED.len()]);
                if SCANNED.len() as u64 <= step.number {
                    path = format!("/{}{path}", PREFIXES[step.number as usize / SCANNED.len() - 1]);
                }
                let status = if path.ends_with(".git/config") { 403 } else { 404 };
                Request { target: &path, status, agent: "pathfinder/1.4", ..request }
            }
            AttackKind::ForgedLines => {
                agent.push_str(FORGED[step.number as usize % FORGED.len()]);
                Request { agent: &agent, ..request }
            }
            AttackKind::Outage => request,
        };
        lines.write(at, &request, out);
        request.status
    }
}

/// Clients of an attack: one, or as many as it takes to look like a crowd.
fn attackers(kind: AttackKind, index: u8) -> Vec<IpAddr> {
    match kind {
        AttackKind::Outage => Vec::new(),
        AttackKind::CredentialStuffing => {
            (1..=60).map(|host| Ipv4Addr::new(198, 51, 100, host).into()).collect()
        }
        _ => vec![Ipv4Addr::new(203, 0, 113, index.saturating_add(10)).into()],
    }
}

const STUFFING_AGENTS: [&str; 2] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/118.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0",
];

const SCANNED: [&str; 30] = [
    "/.env",
    "/.git/config",
    "/wp-login.php",
    "/phpmyadmin/index.php",
    "/backup.zip",
    "/config.php.bak",
    "/admin/",
    "/server-status",
    "/xmlrpc.php",
    "/api/v1/users",
    "/.aws/credentials",
    "/db.sql",
    "/shell.php",
    "/cgi-bin/test.cgi",
    "/actuator/health",
    "/solr/admin/info/system",
    "/console/",
    "/manager/html",
    "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php",
    "/old/.env",
    "/wp-content/plugins/",
    "/site.tar.gz",
    "/.ssh/id_rsa",
    "/private.key",
    "/debug/default/view",
    "/telescope/requests",
    "/owa/auth/logon.aspx",
    "/boaform/admin/formLogin",
    "/HNAP1/",
    "/sdk",
];

const PREFIXES: [&str; 9] = ["blog", "test", "dev", "shop", "beta", "app", "new", "backup", "site"];

/// Line breaks and quotes as nginx and as Apache escape them, so no new line begins.
const FORGED: [&str; 4] = [
    r"x\x0A198.51.100.200 - member001 [01/Jan/2026:00:00:00 +0000] \x22GET /files/ HTTP/1.1\x22 200 5 \x22-\x22 \x22-\x22",
    r#"x\n198.51.100.201 - - [01/Jan/2026:00:00:00 +0000] \"POST /login HTTP/1.1\" 401 5 \"-\" \"-\""#,
    r"\x22 401 0 \x22-\x22 \x22-\x22\x0D\x0A198.51.100.202 - - [",
    r"x\r\nJan  1 00:00:00 web1 sshd[1]: Failed password for root from 198.51.100.203 port 22 ssh2",
];
