//! What a request looks like: the lists and the patterns, asked in the order of their cost.
//!
//! Nearly all requests hold nothing to decode and none of the texts that any entry needs; they cost
//! one look at each byte and one run of the automaton over the target.

use super::class::{Class, Classes};
use super::cves::CVES;
use super::matcher::{Candidates, MATCHER, Matcher, has_odd_ending, is_hidden};
use super::payload::On;
use super::view::{FIELD_MAX, Marks, PARAM, Shape, View};

/// The parts of an event that a client wrote. Empty is absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a [u8],
    /// The target as sent, or the text in its place that is none.
    pub target: &'a [u8],
    /// The referrer.
    pub referrer: &'a [u8],
    /// The agent.
    pub agent: &'a [u8],
    /// The user.
    pub user: &'a [u8],
    /// The log is that of a web server, which has no use for tunnels; proxies have.
    pub is_origin: bool,
    /// It is no sound request, or one for somebody else's site.
    pub is_broken: bool,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Signs {
    /// The classes.
    pub classes: Classes,
    /// Place in [`super::CVES`], from 1; 0 where there is none.
    pub cve: u16,
}

impl Signs {
    fn tell(&mut self, cve: u16) {
        self.cve = cve + 1;
        self.classes.add(Classes::of(Class::Cve));
    }

    /// `CVE-2021-44228`, where the request is for one.
    pub fn cve(self) -> Option<&'static str> {
        Some(CVES.get(usize::from(self.cve).checked_sub(1)?)?.id)
    }
}

/// Buffers that are used again for the next event.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    view: View,
    squeezed: Vec<u8>,
    path: Vec<u8>,
    candidates: Candidates,
    agents: Memo,
    referrers: Memo,
    targets: Memo,
}

/// Fields remembered with what they look like: most clients share their agents, most requests
/// their targets.
const MEMO_PLACES: usize = 1024;

/// Longest field that is remembered.
const MEMO_FIELD_MAX: usize = 256;

/// What fields look like that came not long ago. A field is known by all its bytes, so nobody can
/// pass for another one; the hash only says where to look.
#[derive(Clone, Debug)]
struct Memo {
    places: Vec<(Vec<u8>, Signs)>,
    hasher: ahash::RandomState,
}

impl Default for Memo {
    fn default() -> Self {
        let places = vec![(Vec::new(), Signs::default()); MEMO_PLACES];
        Self { places, hasher: ahash::RandomState::with_seeds(3, 5, 7, 11) }
    }
}

impl Memo {
    fn place(&self, field: &[u8]) -> usize {
        self.hasher.hash_one(field) as usize % MEMO_PLACES
    }

    fn get(&self, field: &[u8]) -> Option<Signs> {
        let (known, signs) = &self.places[self.place(field)];
        (!field.is_empty() && known.as_slice() == field).then_some(*signs)
    }

    fn put(&mut self, field: &[u8], signs: Signs) {
        if field.len() <= MEMO_FIELD_MAX {
            let place = self.place(field);
            let (known, before) = &mut self.places[place];
            known.clear();
            known.extend_from_slice(field);
            *before = signs;
        }
    }
}

/// What `request` looks like.
pub fn examine(request: &Request<'_>, scratch: &mut Scratch) -> Signs {
    let matcher = &*MATCHER;
    let mut signs = Signs::default();
    if request.is_broken || !is_known(request) {
        signs.classes.add(Classes::of(Class::Protocol));
    }
    // What a method may do to a target is asked for methods that are not the usual one.
    let is_get = request.method == b"GET";
    match scratch.targets.get(request.target).filter(|_| is_get) {
        Some(known) => {
            signs.classes.add(known.classes);
            signs.cve = known.cve;
        }
        None => {
            let mut found = Signs::default();
            target(matcher, request, scratch, &mut found);
            signs.classes.add(found.classes);
            signs.cve = found.cve;
            if is_get {
                scratch.targets.put(request.target, found);
            }
        }
    }
    if is_odd(request.user, &USER) {
        other(matcher, request.user, Shape::Text, On::Target, scratch, &mut signs.classes);
    }
    signs.classes.add(agent(matcher, request.agent, scratch));
    signs.classes.add(referrer(matcher, request.referrer, scratch));
    if signs.cve == 0 && signs.classes.has(Class::Jndi) {
        signs.tell(matcher.log4shell());
    }
    signs
}

fn agent(matcher: &Matcher, agent: &[u8], scratch: &mut Scratch) -> Classes {
    let Some(first) = agent.first() else { return Classes::NONE };
    if let Some(known) = scratch.agents.get(agent) {
        return known.classes;
    }
    let mut classes = Classes::NONE;
    if matcher.is_scanner(cut(agent)) {
        classes.add(Classes::of(Class::Scanner));
    }
    if is_odd(agent, &AGENT) || matches!(first, b';' | b'&') {
        other(matcher, agent, Shape::Text, On::Every, scratch, &mut classes);
    }
    scratch.agents.put(agent, Signs { classes, cve: 0 });
    classes
}

fn referrer(matcher: &Matcher, referrer: &[u8], scratch: &mut Scratch) -> Classes {
    if !is_odd(referrer, &REFERRER) {
        return Classes::NONE;
    }
    if let Some(known) = scratch.referrers.get(referrer) {
        return known.classes;
    }
    let mut classes = Classes::NONE;
    other(matcher, referrer, Shape::Address, On::Every, scratch, &mut classes);
    scratch.referrers.put(referrer, Signs { classes, cve: 0 });
    classes
}

fn cut(field: &[u8]) -> &[u8] {
    &field[..field.len().min(FIELD_MAX)]
}

fn target(matcher: &Matcher, request: &Request<'_>, scratch: &mut Scratch, signs: &mut Signs) {
    let target = cut(request.target);
    let Scratch { view, squeezed, path: normal, candidates, .. } = scratch;
    if !is_odd(target, &PATH) && !matcher.has_any(target) {
        if has_odd_ending(target) || is_hidden(target) {
            signs.classes.add(Classes::of(Class::SensitivePath));
        }
        return;
    }
    view.read(target, Shape::Address);
    let text = view.text();
    signs.classes.add(marked(view.marks));
    matcher.candidates(text, candidates);
    signs.classes.add(matcher.classes(candidates, On::Target, text));
    signs.classes.add(matcher.classes(candidates, On::Shell, text));
    if let Some(cve) = matcher.cve(candidates, request.method, text) {
        signs.tell(cve);
    }
    let mut path = path_of(text);
    if !is_normal(path) {
        normalise(path, normal);
        path = normal.as_slice();
        matcher.candidates(path, candidates);
    }
    if matcher.is_sensitive(candidates, path) || has_odd_ending(path) || is_hidden(path) {
        signs.classes.add(Classes::of(Class::SensitivePath));
    }
    if view.squeeze(squeezed) {
        matcher.candidates(squeezed, candidates);
        signs.classes.add(matcher.classes(candidates, On::Shell, squeezed));
    }
}

/// The classes of what was met while a target was decoded.
fn marked(marks: Marks) -> Classes {
    let mut classes = Classes::NONE;
    let forges = marks.nul || marks.escape || marks.bidi || marks.early_break || marks.lone_return;
    for (is_met, class) in [
        (forges, Class::LogInjection),
        (marks.overlong, Class::Protocol),
        (marks.comment, Class::Sqli),
    ] {
        if is_met {
            classes.add(Classes::of(class));
        }
    }
    classes
}

/// A field that is not the target.
fn other(
    matcher: &Matcher,
    field: &[u8],
    shape: Shape,
    on: On,
    scratch: &mut Scratch,
    classes: &mut Classes,
) {
    let Scratch { view, candidates, .. } = scratch;
    view.read(field, shape);
    matcher.candidates(view.text(), candidates);
    classes.add(matcher.classes(candidates, on, view.text()));
    let marks = Marks { overlong: false, comment: false, ..view.marks };
    classes.add(marked(marks));
}

/// The path in the view of a target.
fn path_of(view: &[u8]) -> &[u8] {
    &view[..memchr::memchr(PARAM, view).unwrap_or(view.len())]
}

/// [`normalise`] would change nothing.
fn is_normal(path: &[u8]) -> bool {
    let is_odd = |pair: &[u8]| matches!(pair, [b'/', b'/' | b'.'] | [b'\\', _] | [_, b'\\']);
    path.first() == Some(&b'/') && !path.windows(2).any(is_odd)
}

/// Writes `path` without empty segments, `.` and `..`, and with `/` for every backslash.
fn normalise(path: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let segments = path.split(|byte| matches!(*byte, b'/' | b'\\'));
    for segment in segments {
        match segment {
            b"" | b"." => (),
            b".." => out.truncate(memchr::memrchr(b'/', out).unwrap_or(0)),
            name => {
                out.push(b'/');
                out.extend_from_slice(name);
            }
        }
    }
    if path.ends_with(b"/") || out.is_empty() {
        out.push(b'/');
    }
}

/// Methods of HTTP, of its registered extensions and of caches.
const METHODS: &[&[u8]] = &[
    b"GET",
    b"POST",
    b"HEAD",
    b"OPTIONS",
    b"PUT",
    b"DELETE",
    b"PATCH",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"REPORT",
    b"SEARCH",
    b"MKCALENDAR",
    b"ACL",
    b"BIND",
    b"UNBIND",
    b"REBIND",
    b"MERGE",
    b"CHECKOUT",
    b"CHECKIN",
    b"UPDATE",
    b"LABEL",
    b"VERSION-CONTROL",
    b"MKACTIVITY",
    b"MKWORKSPACE",
    b"BASELINE-CONTROL",
    b"ORDERPATCH",
    b"LINK",
    b"UNLINK",
    b"PURGE",
    b"BAN",
    b"QUERY",
    b"PRI",
    b"SUBSCRIBE",
    b"UNSUBSCRIBE",
    b"NOTIFY",
    b"RPC_IN_DATA",
    b"RPC_OUT_DATA",
    b"BDELETE",
    b"BMOVE",
    b"BCOPY",
    b"BPROPFIND",
    b"BPROPPATCH",
    b"POLL",
];

fn is_known(request: &Request<'_>) -> bool {
    let method = request.method;
    let is_tunnel = method == b"CONNECT" && !request.is_origin;
    method.is_empty() || METHODS.contains(&method) || is_tunnel
}

type Bytes = [bool; 256];

/// The field has something that a plain one lacks.
fn is_odd(field: &[u8], odd: &Bytes) -> bool {
    field.iter().fold(false, |sum, byte| sum | odd[usize::from(*byte)])
}

const fn all_but(plain: &[u8]) -> Bytes {
    let mut table = [true; 256];
    let mut byte = b'a';
    while byte <= b'z' {
        table[byte as usize] = false;
        table[byte.to_ascii_uppercase() as usize] = false;
        byte += 1;
    }
    let mut digit = b'0';
    while digit <= b'9' {
        table[digit as usize] = false;
        digit += 1;
    }
    let mut at = 0;
    while at < plain.len() {
        table[plain[at] as usize] = false;
        at += 1;
    }
    table
}

/// A target whose bytes are all of these is a path in which there is nothing to decode.
static PATH: Bytes = all_but(b"/._-=~,@");
static USER: Bytes = all_but(b"._-@ ");
static REFERRER: Bytes = all_but(b"/._-=&?~,@:#+");
static AGENT: Bytes = all_but(b"/._- ();:,+@?=");
