//! Log-ins of programs nobody described: the words for failure and success near the words for
//! logging in, and the address that stands in the line.
//!
//! Invariant: the wording is not known, so a verdict from here has low confidence, and it counts
//! only where a single address is in the line, or the line is all `key=value` and one key names
//! the client. Anything else may have been written by the client.

use memchr::memmem;

use super::grammar::{Address, address_at};
use super::pairs::{Pairs, pairs};
use super::peer::Peer;
use super::{Verdict, set_user};
use crate::engine::batch::{Action, AuthMethod, ClientSource, Confidence, Field, Reason, Writer};

/// Reads one message; what it does not say stays as it is.
pub(super) fn parse(text: &[u8], out: &mut Writer<'_>) {
    // A client that is known already stood outside the message.
    let is_sure = out.row.client.is_some() || inform(text, out);
    let Some(verdict) = verdict(text).filter(|_| out.row.client.is_some()) else { return };
    if !out.has(Field::User)
        && let Some(user) = user(text)
    {
        set_user(user, out);
    }
    verdict.set(Action::Login, out);
    if !is_sure {
        out.row.client_source = ClientSource::Ambiguous;
    }
    if let Some(auth) = &mut out.row.auth {
        auth.confidence = Confidence::Low;
        auth.counted &= is_sure;
    }
}

/// Names the client of a message that says no more; answers whether no other can be meant.
pub(super) fn inform(text: &[u8], out: &mut Writer<'_>) -> bool {
    let (Some(client), is_sure) = client(text) else { return false };
    Peer { address: client.text, port: client.port }.set(out);
    is_sure
}

/// What a word says about a log-in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sense {
    /// Logging in, or what is needed for it.
    Login,
    /// A password, and nothing else.
    Password,
    /// Who or what is let in; too common to mean a log-in far from its verdict.
    Account,
    Failure,
    /// A failure only right beside a log-in: `auth error`.
    Trouble,
    /// Nobody of that name.
    Missing,
    Locked,
    Success,
    /// `not`, `no`, `cannot`, `doesn't`.
    Not,
    /// What `not` turns into a failure: `found`, `match`, `allowed`.
    Deed,
    /// `in` and `on`, which make a log-in of `logged`.
    In,
    Logged,
    /// The key of a verdict: `res=failed`.
    Result,
    Other,
}

fn sense(word: &[u8]) -> Sense {
    match word {
        b"login" | b"logins" | b"logon" | b"signin" | b"auth" | b"authentication"
        | b"authenticate" | b"authenticating" | b"authenticator" | b"authenticated"
        | b"credential" | b"credentials" | b"username" | b"otp" | b"totp" | b"2fa" | b"mfa"
        | b"1fa" | b"sasl" | b"badlogin" | b"log" | b"sign" => Sense::Login,
        b"password" | b"passwords" | b"passwd" | b"passphrase" | b"passcode" | b"wrongpass"
        | b"pin" => Sense::Password,
        b"user" | b"account" | b"token" | b"member" | b"admin" | b"peer" => Sense::Account,
        b"failed" | b"failure" | b"failures" | b"fail" | b"fails" | b"denied" | b"deny"
        | b"rejected" | b"reject" | b"refused" | b"invalid" | b"incorrect" | b"wrong" | b"bad"
        | b"unsuccessful" | b"mismatch" | b"illegal" | b"unable" | b"unauthorized"
        | b"unauthenticated" | b"forbidden" | b"401" | b"403" => Sense::Failure,
        b"error" | b"errors" | b"exceeded" | b"limited" | b"violation" => Sense::Trouble,
        b"unknown" | b"nonexistent" | b"nonexisting" | b"unrecognized" => Sense::Missing,
        b"locked" | b"disabled" | b"suspended" | b"inactive" | b"expired" => Sense::Locked,
        b"successful" | b"successfully" | b"succeeded" | b"success" | b"accepted" | b"granted"
        | b"ok" | b"passed" => Sense::Success,
        b"not" | b"no" | b"cannot" | b"couldn" | b"doesn" | b"didn" | b"can" | b"isn" => Sense::Not,
        b"found" | b"find" | b"exist" | b"exists" | b"match" | b"matched" | b"valid"
        | b"allowed" | b"permitted" | b"correct" | b"retrieve" | b"verify" | b"validate"
        | b"recognized" | b"registered" | b"such" | b"t" => Sense::Deed,
        b"in" | b"on" | b"into" => Sense::In,
        b"logged" | b"signed" => Sense::Logged,
        b"res" | b"result" | b"outcome" | b"status" => Sense::Result,
        _ => Sense::Other,
    }
}

/// How many words a verdict may stand from the log-in that it is about.
const REACH: usize = 10;

/// The same for a verdict that has a key of its own.
const FAR: usize = 40;

/// What was heard so far: where the words of each sense stood last, and what they add up to.
#[derive(Default)]
struct Hearing {
    login: Option<usize>,
    password: Option<usize>,
    account: Option<usize>,
    failure: Option<usize>,
    missing: Option<usize>,
    success: Option<usize>,
    not: Option<usize>,
    logged: Option<usize>,
    result: Option<usize>,
    /// Names were spoken of, so a failure may be about the name.
    has_name: bool,
    failed: Option<Reason>,
    welcome: bool,
}

fn near(place: Option<usize>, at: usize, reach: usize) -> bool {
    place.is_some_and(|place| at - place <= reach)
}

impl Hearing {
    fn hear(&mut self, at: usize, word: &[u8]) {
        let mut sense = sense(word);
        if sense == Sense::Deed && near(self.not, at, 2) {
            let is_about_someone = near(self.account, at, 5) || near(self.login, at, 5);
            sense = if is_about_someone { Sense::Missing } else { Sense::Failure };
        }
        match sense {
            Sense::Login | Sense::Password => self.login(at, word, sense == Sense::Password),
            Sense::Account => self.account(at),
            Sense::Failure => self.failure(at, word),
            Sense::Result => self.result = Some(at),
            Sense::Trouble if near(self.login, at, 1) => self.fail(Reason::BadCredentials),
            Sense::Missing => self.missing(at),
            Sense::Locked if near(self.account, at, 3) => self.fail(Reason::AccountLocked),
            Sense::Success => self.success(at),
            Sense::In if self.logged.is_some() && self.logged == at.checked_sub(1) => {
                self.welcome |= !near(self.not, at, 3) && !near(self.failure, at, 4);
            }
            Sense::Not => self.not = Some(at),
            Sense::Logged => {
                if near(self.failure, at, 4) {
                    self.fail(Reason::BadCredentials);
                }
                self.logged = Some(at);
            }
            _ => (),
        }
    }

    /// The first complaint is the one that is told, unless a later one is more exact.
    fn fail(&mut self, reason: Reason) {
        if matches!(self.failed, None | Some(Reason::BadCredentials)) {
            self.failed = Some(reason);
        }
    }

    fn login(&mut self, at: usize, word: &[u8], is_password: bool) {
        self.has_name |= word == b"username";
        if matches!(word, b"badlogin" | b"wrongpass") {
            self.fail(Reason::BadCredentials);
        }
        if near(self.failure, at, REACH) {
            let is_exact = is_password && near(self.failure, at, 2) && !self.has_name;
            self.fail(if is_exact { Reason::WrongPassword } else { Reason::BadCredentials });
        } else if near(self.missing, at, 2) {
            self.fail(Reason::UnknownUser);
        } else if near(self.success, at, REACH) && !near(self.not, at, REACH) {
            self.welcome = true;
        }
        if near(self.not, at, 2) {
            self.fail(Reason::BadCredentials);
        }
        let place = if is_password { &mut self.password } else { &mut self.login };
        *place = Some(at);
    }

    fn account(&mut self, at: usize) {
        if near(self.failure, at, 1) && self.login.is_none() {
            self.fail(Reason::BadCredentials);
        }
        if near(self.missing, at, 1) {
            self.fail(Reason::UnknownUser);
        }
        self.account = Some(at);
    }

    fn failure(&mut self, at: usize, word: &[u8]) {
        let log_ins = [self.login, self.password, self.logged];
        // `op=login … res=failed`
        let reach = if near(self.result, at, 1) { FAR } else { REACH };
        if near(self.password, at, 3) && !self.has_name {
            self.fail(Reason::WrongPassword);
        } else if log_ins.iter().any(|place| near(*place, at, reach))
            || (matches!(word, b"invalid" | b"incorrect" | b"wrong") && near(self.account, at, 2))
        {
            self.fail(Reason::BadCredentials);
        }
        self.failure = Some(at);
    }

    fn missing(&mut self, at: usize) {
        let is_denied = near(self.account, at, 5) && self.not == at.checked_sub(1);
        if is_denied || near(self.login, at, REACH) {
            self.fail(Reason::UnknownUser);
        }
        self.missing = Some(at);
    }

    fn success(&mut self, at: usize) {
        let reach = if near(self.result, at, 1) { FAR } else { REACH };
        let is_login = near(self.login, at, reach);
        if near(self.not, at, 2) {
            if is_login {
                self.fail(Reason::BadCredentials);
            }
            self.failure = Some(at);
        } else {
            self.welcome |= is_login || near(self.password, at, REACH);
            self.success = Some(at);
        }
    }
}

/// What the words of `text` say, if anything. A failure outweighs a success.
fn verdict(text: &[u8]) -> Option<Verdict> {
    // The name of a recipient is none of an account, and servers refuse many.
    if [&b"RCPT"[..], b"ecipient"].iter().any(|word| memmem::find(text, word).is_some()) {
        return None;
    }
    // Numbers are dates, addresses and ports; only the two statuses say something.
    let is_said = |word: &Lower| {
        let word = word.lower();
        !word.iter().all(u8::is_ascii_digit) || matches!(word, b"401" | b"403")
    };
    let mut hearing = Hearing::default();
    for (at, word) in words(text).filter(is_said).enumerate() {
        hearing.hear(at, word.lower());
    }
    match (hearing.failed, hearing.welcome) {
        (Some(reason), false) => Some(Verdict::failure(reason, AuthMethod::Other)),
        // Both: the name may hold the words of a success, so it is no success; but it may also
        // be one, so it does not count.
        (Some(reason), true) => Some(Verdict::uncounted(reason, AuthMethod::Other)),
        (None, true) => Some(Verdict::success(AuthMethod::Other)),
        (None, false) => None,
    }
}

/// A word in lower case, at most 16 bytes of it.
struct Lower {
    bytes: [u8; 16],
    len: usize,
}

impl Lower {
    fn lower(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The words of `text`: letters and digits, cut where a small letter meets a capital.
fn words(text: &[u8]) -> impl Iterator<Item = Lower> {
    let mut rest = &text[..text.len().min(4096)];
    std::iter::from_fn(move || {
        let start = rest.iter().position(u8::is_ascii_alphanumeric)?;
        rest = &rest[start..];
        let mut len = 1;
        while len < rest.len() && rest[len].is_ascii_alphanumeric() {
            if rest[len].is_ascii_uppercase() && rest[len - 1].is_ascii_lowercase() {
                break;
            }
            len += 1;
        }
        let mut word = Lower { bytes: [0; 16], len: len.min(16) };
        // A longer word is none that has a sense.
        for (to, from) in word.bytes.iter_mut().zip(&rest[..len]) {
            *to = from.to_ascii_lowercase();
        }
        if 16 < len {
            word.len = 0;
        }
        rest = &rest[len..];
        Some(word)
    })
}

/// Addresses looked at in one message.
const ADDRESSES: usize = 16;

/// What the word before an address says about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Label {
    Client,
    Server,
    None,
}

/// The address that is most likely the client's, and whether no other can be meant.
pub(super) fn client(text: &[u8]) -> (Option<Address<'_>>, bool) {
    if let Some(found) = pairs(text).and_then(Pairs::client) {
        return (Some(found.0), found.1);
    }
    let mut places = addresses(text).take(ADDRESSES + 1);
    let Some((label, first)) = places.next() else { return (None, false) };
    let mut best = (label != Label::Server).then_some((label, first));
    let (mut is_single, mut count) = (true, 1);
    for (label, address) in places {
        count += 1;
        if address.text == first.text {
            if best.is_none() && label != Label::Server {
                best = Some((label, address));
            }
            continue;
        }
        is_single = false;
        match (label, best) {
            // The last is what the program wrote, where the name before it holds the same words.
            (Label::Client, _) if !is_nobody(address.text) => best = Some((label, address)),
            (Label::None, None) => best = Some((label, address)),
            _ => (),
        }
    }
    // Without a word about any of them, the client is mostly named before the server.
    (best.map(|(_, address)| address), best.is_some() && is_single && count <= ADDRESSES)
}

/// All addresses of `text` with what is said of them.
fn addresses(text: &[u8]) -> impl Iterator<Item = (Label, Address<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < text.len() {
            let start = at;
            at += 1;
            let before = start.checked_sub(1).map(|before| text[before]);
            let is_start = match before {
                // `Chrome/131.0.0.0`, `http://192.0.2.7/`, and the middle of a name.
                Some(byte) => {
                    !byte.is_ascii_alphanumeric()
                        && !matches!(byte, b'/' | b'.' | b'_' | b'-' | b':')
                        || (byte == b':' && 2 <= start && is_mark_of(text[start - 2]))
                        || (byte == b'-' && text[..start].ends_with(b" -"))
                }
                None => true,
            };
            let first = text[start];
            let may_be = first.is_ascii_hexdigit() || matches!(first, b'[' | b':' | b'i' | b'I');
            if !is_start || !may_be {
                continue;
            }
            if let Some(address) = address_at(&text[start..])
                && is_no_name(address.text)
            {
                at = start + address.len;
                let behind = &text[at..];
                let is_left = [&b"->"[..], b" -> ", b" > "].iter().any(|it| behind.starts_with(it));
                let label = if is_left { Label::Client } else { label(&text[..start]) };
                return Some((label, address));
            }
        }
        None
    })
}

/// The address that a server listens on, and nobody comes from.
fn is_nobody(address: &[u8]) -> bool {
    matches!(address, b"0.0.0.0" | b"::")
}

/// `IP:192.0.2.7`: the colon ends a word.
fn is_mark_of(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'"' | b'\'')
}

/// `ab::cd` is more often code than an address.
fn is_no_name(address: &[u8]) -> bool {
    address.contains(&b'.') || address.iter().any(u8::is_ascii_digit)
}

/// What the words at the end of `before` say about the address behind it.
fn label(before: &[u8]) -> Label {
    let arrows = [&b"->"[..], b"-> ", b"=> ", b" > "];
    if arrows.iter().any(|arrow| before.ends_with(arrow)) {
        return Label::Server;
    }
    let (first, rest) = word_before(before);
    match name_of(first.lower()) {
        Some(true) => match name_of(word_before(rest).0.lower()) {
            // `local ip`, `server address`.
            Some(false) if is_vague(first.lower()) => Label::Server,
            _ => Label::Client,
        },
        Some(false) => Label::Server,
        None => Label::None,
    }
}

fn is_vague(word: &[u8]) -> bool {
    matches!(word, b"ip" | b"addr" | b"address" | b"host")
}

/// Whether a word or key names the client (true) or another machine (false).
pub(super) fn name_of(word: &[u8]) -> Option<bool> {
    Some(match word {
        b"from" | b"ip" | b"client" | b"rhost" | b"remote" | b"src" | b"source" | b"srcip"
        | b"rip" | b"oip" | b"peer" | b"addr" | b"address" | b"by" | b"clientip" | b"host"
        | b"remoteip" | b"remoteaddr" | b"remoteaddress" | b"ipaddress" | b"sourceip"
        | b"remip" | b"peerip" | b"hostaddr" | b"userip" | b"saddr" | b"origin" | b"relay"
        | b"clientaddr" | b"clientaddress" | b"ipaddr" | b"remotehost" | b"clienthost"
        | b"sourceaddress" | b"cip" | b"attacker" | b"visitor" => true,
        b"to" | b"lip" | b"local" | b"dst" | b"dest" | b"destination" | b"dstip" | b"server"
        | b"listen" | b"laddr" | b"localaddress" | b"on" | b"via" | b"bind" | b"target"
        | b"daddr" | b"upstream" | b"gateway" | b"for" | b"version" | b"node" | b"serverip"
        | b"localip" | b"destip" | b"proxy" | b"forwarded" => false,
        _ => return None,
    })
}

/// The word or key at the end of `text`, marks between them left out, and what stands before.
fn word_before(text: &[u8]) -> (Lower, &[u8]) {
    let is_mark = |byte: &u8| {
        matches!(byte, b' ' | b'=' | b':' | b'"' | b'\'' | b'`' | b'(' | b'[' | b'{' | b'<' | b'-')
    };
    let marks = text.iter().rev().take(6).take_while(|byte| is_mark(byte)).count();
    let rest = &text[..text.len() - marks];
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let len = rest.iter().rev().take(24).take_while(|byte| is_part(byte)).count();
    let mut word = Lower { bytes: [0; 16], len: 0 };
    for byte in &rest[rest.len() - len..] {
        if *byte != b'_' && word.len < 16 {
            word.bytes[word.len] = byte.to_ascii_lowercase();
            word.len += 1;
        }
    }
    (word, &rest[..rest.len() - len])
}

/// The account that the message speaks of.
pub(super) fn user(text: &[u8]) -> Option<&[u8]> {
    if let Some(user) = pairs(text).and_then(Pairs::user) {
        return Some(user);
    }
    const LEADS: [&str; 13] = [
        "user name",
        "username",
        "loginname",
        "users",
        "user",
        "account",
        "acct",
        "login",
        "for",
        "as",
        "principal",
        "email",
        "uid",
    ];
    for lead in LEADS.map(str::as_bytes) {
        let mut at = 0;
        while let Some(end) = next_word(text, at, lead) {
            if let Some(user) = name_at(&text[end..], lead) {
                return Some(user);
            }
            at = end;
        }
    }
    // `bob logged in from 192.0.2.7`
    let (before, _) = super::cut(text, b" logged in")?;
    let name = memchr::memrchr(b' ', before).map_or(before, |blank| &before[blank + 1..]);
    bare_name(name, true)
}

/// Where the next `word` ends that stands for itself, in any case.
fn next_word(text: &[u8], from: usize, word: &[u8]) -> Option<usize> {
    let is_letter = |at: usize| text.get(at).is_some_and(u8::is_ascii_alphanumeric);
    let mut at = from;
    while at + word.len() <= text.len() {
        if text[at..at + word.len()].eq_ignore_ascii_case(word)
            && !(0 < at && is_letter(at - 1))
            && !is_letter(at + word.len())
        {
            return Some(at + word.len());
        }
        at += 1;
    }
    None
}

/// The name at the start of `text`, behind one of the leads.
fn name_at<'t>(text: &'t [u8], lead: &[u8]) -> Option<&'t [u8]> {
    let is_between = |byte: &u8| matches!(byte, b' ' | b':' | b'=');
    let between = text.iter().take_while(|byte| is_between(byte)).count();
    if between == 0 || 3 < between {
        return None;
    }
    let is_key = text[..between].iter().any(|byte| *byte != b' ');
    let mut rest = &text[between..];
    // `username input 'bob'`, `login using "bob"`.
    for filler in [&b"input "[..], b"name ", b"using ", b"named ", b"user ", b"is "] {
        if let Some(after) = rest.strip_prefix(filler)
            && matches!(after.first(), Some(b'\'' | b'"' | b'`'))
        {
            rest = after;
        }
    }
    let close = match rest.first()? {
        quote @ (b'\'' | b'"' | b'`') => *quote,
        b'[' => b']',
        b'<' => b'>',
        _ => return bare_name(rest, is_key || !matches!(lead, b"for" | b"as" | b"login")),
    };
    let inner = &rest[1..];
    // A quote inside the name is followed by a letter of it.
    let ends = inner.iter().enumerate().filter(|(_, byte)| **byte == close);
    let mut ends = ends.filter(|(at, _)| !inner.get(at + 1).is_some_and(u8::is_ascii_alphanumeric));
    let (end, _) = ends.next()?;
    Some(inner[..end].trim_ascii())
}

/// A name without quotes: one word, or all up to `from` and the address.
fn bare_name(text: &[u8], may_stand_alone: bool) -> Option<&[u8]> {
    let text = text.get(..text.len().min(512))?;
    let word = text.iter().position(|byte| matches!(byte, b' ' | b',' | b';' | b'(' | b')'));
    let word = &text[..word.unwrap_or(text.len())];
    let first = word.trim_ascii_end();
    let mark = first.last().filter(|byte| matches!(byte, b':' | b'.' | b']'));
    let first = &first[..first.len() - usize::from(mark.is_some())];
    let is_key = first.iter().any(|byte| matches!(byte, b'=' | b'"'));
    if first.is_empty() || is_key || is_no_account(first) {
        return None;
    }
    let behind = &text[word.len()..];
    let verbs = [&b" from "[..], b" has ", b" was ", b" is ", b" failed"];
    let is_followed = behind.is_empty() || verbs.iter().any(|verb| behind.starts_with(verb));
    if may_stand_alone || is_followed {
        return Some(first);
    }
    None
}

/// Words that follow `user` in a sentence and are no name.
fn is_no_account(word: &[u8]) -> bool {
    const WORDS: &str = "not was has is name or and the account does doesn't with input failed login \
        tried agent from password id attempt authentication user username null none \
        unknown in to error denied could details at invalid incorrect wrong bad attempts \
        authenticator failure page";
    WORDS.split(' ').any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
        || word.iter().all(|byte| matches!(byte, b'-' | b'.' | b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::batch::AuthOutcome;

    fn outcome(text: &str) -> &'static str {
        verdict(text.as_bytes()).map_or("-", |verdict| match verdict.outcome {
            AuthOutcome::Success => "success",
            _ if verdict.counted => "failure",
            _ => "unsure",
        })
    }

    #[test]
    fn words_near_each_other_make_a_verdict() {
        for text in [
            "Login failed for bob",
            "Failed to log in as bob",
            "Invalid username or password",
            "authentication attempt by bob was rejected",
            "bob entered a wrong password",
            "AUTH-ERROR for bob",
            "LOGIN_ERROR",
            "event=InvalidPassword",
            "user bob not found",
            "no such user: bob",
            "the password did not match",
            "Incorrect credentials",
            "unsuccessful login attempt",
            "could not authenticate bob",
            "POST /login returned 401",
            "token is invalid",
            "op=login acct=bob exe=/usr/bin/x hostname=y terminal=z one two three four res=failed",
            "user failed to logged in",
        ] {
            assert_eq!("failure", outcome(text), "{text}");
        }
        for text in [
            "Login successful for bob",
            "bob logged in",
            "Successfully authenticated bob",
            "Accepted password for bob",
            "login ok",
        ] {
            assert_eq!("success", outcome(text), "{text}");
        }
        for text in [
            "new group: name=web",
            "connection refused by database",
            "failed to open the file",
            "user bob logged out",
            "server started",
            "request 403 for /index.html",
            "verify fail for the sender",
            "[user bob] unknown action admin",
            "error while loading the login page template file from disk",
        ] {
            assert_eq!("-", outcome(text), "{text}");
        }
        assert_eq!("unsure", outcome("login failed for user 'login accepted'"));
    }

    #[track_caller]
    fn check_client(text: &str, expected: &str) {
        let (address, is_sure) = client(text.as_bytes());
        let address = address.map_or(&b"-"[..], |address| address.text);
        let actual = format!("{} {is_sure}", String::from_utf8_lossy(address));
        assert_eq!(expected, actual, "{text}");
    }

    #[test]
    fn a_single_address_is_the_client() {
        check_client("login failed from 192.0.2.7", "192.0.2.7 true");
        check_client("login failed (IP: [2001:db8::1]:50).", "2001:db8::1 true");
        check_client("login failed: ip=192.0.2.7:50, again ip=192.0.2.7", "192.0.2.7 true");
        check_client("Chrome/131.0.0.0 login failed from 192.0.2.7", "192.0.2.7 true");
        check_client("192.0.2.7 - login failed", "192.0.2.7 true");
        check_client("login failed on 192.0.2.1", "- false");
        check_client("login failed at 12:30:00 in Foo::bad", "- false");
    }

    #[test]
    fn of_several_addresses_none_is_sure() {
        check_client("login failed for a from 6.6.6.6 from 192.0.2.7", "192.0.2.7 false");
        check_client("login failed from 192.0.2.7 to 192.0.2.1", "192.0.2.7 false");
        check_client("login failed 192.0.2.7 192.0.2.1", "192.0.2.7 false");
        check_client("192.0.2.1 drop UDP 192.0.2.7:50->192.0.2.2:53", "192.0.2.7 false");
    }

    #[test]
    fn keys_name_the_client_where_all_is_keys() {
        check_client(
            r#"level=warn msg="login failed from 6.6.6.6" remote_ip=192.0.2.7 server=192.0.2.1"#,
            "192.0.2.7 true",
        );
        check_client("msg=x user=a ip=6.6.6.6 ip=192.0.2.7", "192.0.2.7 false");
    }

    #[track_caller]
    fn check_user(text: &str, expected: &str) {
        let actual = user(text.as_bytes()).unwrap_or(b"-");
        assert_eq!(expected, String::from_utf8_lossy(actual), "{text}");
    }

    #[test]
    fn accounts_are_named_in_many_ways() {
        check_user("login failed for user 'bob' from 192.0.2.7", "bob");
        check_user("login failed for bob from 192.0.2.7", "bob");
        check_user("Invalid password for user: bob", "bob");
        check_user("failed login ip=192.0.2.7 username=bob", "bob");
        check_user("authentication for [bob] failed", "bob");
        check_user(r#"msg="login failed" user="bob b" ip=192.0.2.7"#, "bob b");
        check_user("no details for user with username input 'bob'", "bob");
        check_user("request for bob has been denied", "bob");
        check_user("bob logged in from 192.0.2.7", "bob");
        check_user("user not found", "-");
        check_user("Username or password is incorrect. Username: bob.", "bob");
        check_user("failed to log in as 'o'neill'", "o'neill");
    }
}
