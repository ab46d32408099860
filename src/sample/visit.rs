//! What ordinary visitors do: look at pages, whose files follow at once; log in, sometimes with a
//! mistake; and now and then something odd.
//!
//! Invariant: the visits still to come are at most [`WAITING_MAX`] of each sort; a visitor whose
//! next step finds no room has left.

use std::collections::VecDeque;

use super::clients::{Clients, address};
use super::line::{LineWriter, Request};
use super::odd::{self, Odd};
use super::random::{Random, mix};
use super::site::{HOME, MISSING, Site, is_robot};
use super::week::is_log_in_evening;

/// Members who use the file area, which asks for a password by HTTP Basic authentication.
pub(super) const MEMBERS: u32 = 120;

const WAITING_MAX: usize = 4096;

/// A browser asks for a page's files this long after the page, in milliseconds.
const LOAD_DELAY_MS: u64 = 400;

/// A person needs this long to type a name and a password.
const TYPING_MS: u64 = 9_000;

/// Members who mistype, in thousand log-ins.
const MISTYPED_PERMILLE: u64 = 110;

/// What is asked for, and how it ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum What {
    Page,
    /// A page the browser still has.
    Unchanged,
    Search,
    Asset,
    Part,
    Api,
    Probe,
    LogInPage,
    Mistyped,
    LoggedIn,
    Members,
    File,
    FileChallenge,
    FileMistyped,
    Moved,
    Missing,
    Forbidden,
    Broken,
    Robots,
    /// A line that ends in the middle: nobody can read it.
    Cut,
    Odd(Odd),
}

/// What people do next when nothing leads them, by weight. Page views bring files along, so the
/// shares among the lines are others.
const PERSON: &[(What, u32)] = &[
    (What::Page, 6600),
    (What::Unchanged, 1100),
    (What::Search, 320),
    (What::Api, 700),
    (What::LogInPage, 90),
    (What::File, 330),
    (What::FileChallenge, 50),
    (What::FileMistyped, 6),
    (What::Part, 120),
    (What::Moved, 200),
    (What::Missing, 260),
    (What::Forbidden, 16),
    (What::Broken, 28),
    (What::Odd(Odd::Handshake), 9),
    (What::Odd(Odd::Empty), 5),
    (What::Odd(Odd::Escapes), 6),
    (What::Odd(Odd::LongTarget), 3),
    (What::Cut, 2),
];

/// What people do on Thursday evening.
const MEMBER: &[(What, u32)] =
    &[(What::LogInPage, 2600), (What::Page, 3600), (What::Api, 500), (What::File, 500)];

const ROBOT: &[(What, u32)] = &[
    (What::Page, 7400),
    (What::Unchanged, 1300),
    (What::Robots, 500),
    (What::Probe, 250),
    (What::Missing, 420),
    (What::Moved, 250),
    (What::Broken, 20),
];

/// One request of one client, in a few bytes.
#[derive(Clone, Copy, Debug)]
struct Visit {
    rank: u32,
    what: What,
    page: u32,
    /// Decides sizes and other details.
    detail: u32,
}

/// What was written, for the counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    /// The status, or nothing for a line that nobody can read.
    pub(super) status: Option<u16>,
    /// A log-in that ended so.
    pub(super) log_in: Option<bool>,
}

/// All ordinary visitors.
#[derive(Debug)]
pub(super) struct Visits {
    site: Site,
    random: Random,
    clients: Clients,
    /// Files that pages ask for, and steps of log-ins, by the time they are due.
    loads: VecDeque<(u64, Visit)>,
    steps: VecDeque<(u64, Visit)>,
    target: String,
}

impl Visits {
    pub(super) fn new(seed: u64, clients: u32) -> Self {
        Self {
            site: Site::new(seed),
            random: Random::new(seed, 2),
            clients: Clients::new(clients),
            loads: VecDeque::new(),
            steps: VecDeque::new(),
            target: String::new(),
        }
    }

    /// How many different clients were named so far.
    pub(super) fn distinct_clients(&self) -> u32 {
        self.clients.distinct()
    }

    /// Writes what happens `at`; `left` ordinary lines are to come, this one included. While the
    /// servers are `down`, what needs them fails.
    #[inline]
    pub(super) fn write(
        &mut self,
        at: u64,
        left: u64,
        down: bool,
        lines: &mut LineWriter,
        out: &mut Vec<u8>,
    ) -> Written {
        let visit = self.next_visit(at, left);
        if visit.what == What::Cut {
            let request = self.request(visit, false);
            lines.write_cut(at, &request, out);
            return Written { status: None, log_in: None };
        }
        self.clients.see(visit.rank);
        let down = down && needs_servers(visit.what);
        if !down {
            self.follow(at, visit);
        }
        if let What::Odd(odd) = visit.what {
            let (client, agent) = (address(visit.rank), self.site.agent(visit.rank));
            let status = odd::write(odd, at, client, agent, visit.detail, lines, out);
            return Written { status: Some(status), log_in: None };
        }
        let request = self.request(visit, down);
        lines.write(at, &request, out);
        let log_in = match visit.what {
            _ if down => None,
            What::LoggedIn => Some(true),
            What::Mistyped | What::FileMistyped => Some(false),
            _ => None,
        };
        Written { status: Some(request.status), log_in }
    }

    /// Writes the request of somebody who presses reload because the servers are down.
    pub(super) fn write_reload(
        &mut self,
        at: u64,
        lines: &mut LineWriter,
        out: &mut Vec<u8>,
    ) -> u16 {
        let rank = self.clients.regular(&mut self.random);
        let visit = self.visit(rank, What::Page);
        self.clients.see(rank);
        let request = self.request(visit, true);
        lines.write(at, &request, out);
        request.status
    }

    fn next_visit(&mut self, at: u64, left: u64) -> Visit {
        if let Some(rank) = self.clients.newcomer(&mut self.random, left) {
            return self.visit(rank, What::Page);
        }
        for queue in [&mut self.loads, &mut self.steps] {
            if queue.front().is_some_and(|(due, _)| *due <= at)
                && let Some((_, visit)) = queue.pop_front()
            {
                return visit;
            }
        }
        let rank = self.clients.regular(&mut self.random);
        let table = if is_robot(rank) {
            ROBOT
        } else if is_log_in_evening(at) && self.random.permille(700) {
            MEMBER
        } else {
            PERSON
        };
        let what = self.random.weighted(table);
        self.visit(rank, what)
    }

    fn visit(&mut self, rank: u32, what: What) -> Visit {
        let page = self.random.zipf(self.site.pages()) as u32;
        Visit { rank, what, page, detail: self.random.next_u64() as u32 }
    }

    /// Lines up what the visit brings about.
    fn follow(&mut self, at: u64, visit: Visit) {
        match visit.what {
            What::Page | What::Members | What::LogInPage if !is_robot(visit.rank) => {
                for _ in 0..self.random.below(4) {
                    let detail = self.random.next_u64() as u32;
                    push(
                        &mut self.loads,
                        at + LOAD_DELAY_MS,
                        Visit { what: What::Asset, detail, ..visit },
                    );
                }
            }
            _ => (),
        }
        let next = match visit.what {
            What::LogInPage | What::Mistyped if self.random.permille(MISTYPED_PERMILLE) => {
                What::Mistyped
            }
            What::LogInPage | What::Mistyped => What::LoggedIn,
            What::LoggedIn => What::Members,
            _ => return,
        };
        // One delay for all steps keeps the queue in order of time.
        push(&mut self.steps, at + TYPING_MS, Visit { what: next, ..visit });
    }

    fn request(&mut self, visit: Visit, down: bool) -> Request<'_> {
        let Visit { rank, what, page, detail } = visit;
        self.fill_target(visit);
        let method = match what {
            What::LoggedIn | What::Mistyped => "POST",
            What::Probe => "HEAD",
            _ => "GET",
        };
        let status = if down { down_status(detail) } else { status(what, detail) };
        let referrer = match what {
            _ if is_robot(rank) => "-",
            // Some browsers are told to name the site and not the page.
            What::Asset if rank.is_multiple_of(4) => HOME,
            What::Asset | What::Part | What::Api | What::Search => self.site.referrer(page),
            What::LoggedIn | What::Mistyped | What::Members => "https://www.example.org/login",
            _ if detail.is_multiple_of(15) => self.site.search(detail / 16),
            _ if detail.is_multiple_of(3) => HOME,
            _ if detail.is_multiple_of(2) => "-",
            _ => self.site.referrer(page ^ 1),
        };
        let has_member = matches!(what, What::File | What::FileMistyped);
        Request {
            client: address(rank),
            member: has_member.then(|| 1 + mix(u64::from(detail)) as u32 % MEMBERS),
            method,
            target: &self.target,
            version: version(rank),
            status,
            bytes: size(what, status, detail),
            referrer,
            agent: self.site.agent(rank),
        }
    }

    fn fill_target(&mut self, visit: Visit) {
        let Visit { what, page, detail, .. } = visit;
        self.target.clear();
        let path = match what {
            What::Asset | What::Part => {
                // Low numbers belong to all pages, the others to few.
                let assets = self.site.assets() as u32;
                let number =
                    if detail.is_multiple_of(2) { detail / 2 % 23 } else { detail / 2 % assets };
                self.site.asset(number)
            }
            What::Search => "/search?q=",
            What::Api => "/api/v2/items?page=",
            What::LogInPage | What::LoggedIn | What::Mistyped => "/login",
            What::Members => "/members/",
            What::File | What::FileChallenge | What::FileMistyped => "/files/",
            What::Moved => self.site.former_page(page),
            What::Missing => MISSING[detail as usize % MISSING.len()],
            What::Forbidden => "/files/board/",
            What::Robots => "/robots.txt",
            _ => self.site.page(page),
        };
        self.target.push_str(path);
        let mut number = itoa::Buffer::new();
        match what {
            What::Search => self.target.push_str(&self.site.page(detail)[1..]),
            What::Api => self.target.push_str(number.format(detail % 40)),
            What::File if !detail.is_multiple_of(4) => {
                self.target.push_str("report-");
                self.target.push_str(number.format(detail % 300));
                self.target.push_str(".pdf");
            }
            What::Page if detail.is_multiple_of(11) => {
                self.target.push_str("?utm_source=newsletter&utm_campaign=");
                self.target.push_str(number.format(detail % 52));
            }
            _ => (),
        }
    }
}

/// What a proxy answers when the servers behind it are down.
fn down_status(detail: u32) -> u16 {
    [502, 502, 503, 504][detail as usize % 4]
}

fn needs_servers(what: What) -> bool {
    !matches!(what, What::Asset | What::Part | What::Robots | What::Odd(_))
}

fn status(what: What, detail: u32) -> u16 {
    match what {
        What::Unchanged => 304,
        What::Asset if detail.is_multiple_of(4) => 304,
        What::Part => 206,
        What::LoggedIn => 302,
        What::Mistyped | What::FileChallenge | What::FileMistyped => 401,
        What::Moved => 301,
        What::Missing => 404,
        What::Forbidden => 403,
        What::Broken => 500,
        _ => 200,
    }
}

fn size(what: What, status: u16, detail: u32) -> u64 {
    let spread = u64::from(detail >> 8);
    match (status, what) {
        (304, _) => 0,
        (300.., _) => 150 + spread % 60,
        (_, What::Probe) => 0,
        (_, What::Part) => 262_144 + spread % 700_000,
        (_, What::Asset) => 900 + spread % 90_000,
        (_, What::Api) => 120 + spread % 4_000,
        _ => 2_500 + spread % 40_000,
    }
}

fn version(rank: u32) -> &'static str {
    match mix(u64::from(rank) ^ 0x7e) % 8 {
        0 | 1 => "HTTP/1.1",
        2 => "HTTP/3.0",
        _ => "HTTP/2.0",
    }
}

fn push(queue: &mut VecDeque<(u64, Visit)>, due: u64, visit: Visit) {
    if queue.len() < WAITING_MAX {
        queue.push_back((due, visit));
    }
}
