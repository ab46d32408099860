//! Log-ins in the JSON logs of applications.
//!
//! Three things tell of one, the surest first: a message in the words of a program that the
//! login logs know; an event named as a log-in together with how it ended; a message that begins
//! with well-known words such as "Login failed".
//!
//! Invariant: the outcome is read from what the application writes. Names and values of the
//! client stand in quotes or behind a colon, so of a free message only the words before the first
//! of these are looked at, and only where the line has a client or a user of its own; where they
//! speak of both outcomes there is no verdict. The client is an address of a field of its own, or
//! of a message whose grammar is known.

use super::keys::{Found, Hint};
use crate::engine::batch::{
    Action, Auth, AuthMethod, AuthOutcome, Confidence, Field, Kind, Reason, Writer,
};
use crate::engine::format::auth;
use crate::engine::text::cut;

/// Words of events that are log-ins, of any case and with any marks between their parts.
const LOGINS: &[&str] =
    &["login", "logon", "signin", "signon", "authenticat", "authfail", "auth.user"];

const LOGOUTS: &[&str] = &["logout", "logoff", "signout"];

const FAILED: &[&str] = &[
    "fail",
    "denied",
    "deny",
    "reject",
    "invalid",
    "error",
    "unauthori",
    "refused",
    "incorrect",
    "false",
];

const WORKED: &[&str] =
    &["success", "succeeded", "accepted", "allowed", "granted", "passed", "true"];

/// Words of a message that name a log-in.
const LOGIN_WORDS: &[&[u8]] =
    &[b"login", b"logon", b"signin", b"authentication", b"auth", b"authenticate", b"credentials"];

/// Words beside them that say how it ended.
const FAILED_WORDS: &[&[u8]] = &[
    b"failed",
    b"failure",
    b"unsuccessful",
    b"invalid",
    b"denied",
    b"rejected",
    b"bad",
    b"refused",
];

const WORKED_WORDS: &[&[u8]] =
    &[b"successful", b"successfully", b"succeeded", b"success", b"accepted"];

/// Messages that need no such word, in lower case.
const FAILED_MESSAGES: &[&str] = &[
    "invalid username or password",
    "invalid user or password",
    "incorrect username or password",
    "wrong username or password",
    "invalid password",
    "incorrect password",
    "wrong password",
    "bad password",
    "password mismatch",
    "failed to log in",
    "failed to sign in",
    "could not authenticate",
];

const WORKED_MESSAGES: &[&str] = &["logged in", "signed in", "user authenticated"];

/// Words between a log-in and how it ended: `unsuccessful 1FA authentication`, `login attempt
/// failed`.
const WORDS_BETWEEN: usize = 1;

/// Longest part of a message that is looked at.
const HEAD_BYTES_MAX: usize = 120;

/// Sets the verdict of a line about a log-in or log-out; false where it is none. `is_personal`
/// says that the line has a client or a user.
pub(super) fn set(found: &Found<'_>, is_personal: bool, out: &mut Writer<'_>) -> bool {
    let message = found.hint(Hint::Message).unwrap_or_default();
    let known = by_program(found, &message, out)
        || by_event(found, &message, out)
        || (is_personal && by_message(found, &message, out));
    if known {
        out.row.kind = Kind::Auth;
        if !message.is_empty() {
            out.set(Field::Message, &message);
        }
    }
    known
}

/// The message of a program whose log-ins are known, wherever it logs.
fn by_program(found: &Found<'_>, message: &[u8], out: &mut Writer<'_>) -> bool {
    if message.is_empty() {
        return false;
    }
    let program = found.hint(Hint::Program).unwrap_or_default();
    auth::known(&program, None, message.trim_ascii(), out);
    if out.row.auth.is_none() {
        out.reset();
    }
    out.row.auth.is_some()
}

/// An event that is called a log-in, and says how it ended.
fn by_event(found: &Found<'_>, message: &[u8], out: &mut Writer<'_>) -> bool {
    let event = found.hint(Hint::Event).map(|text| folded(&text)).unwrap_or_default();
    let class = found.hint(Hint::Class).map(|text| folded(&text)).unwrap_or_default();
    if has_any(&event, LOGOUTS) {
        out.row.action = Action::Logout;
        return true;
    }
    if !has_any(&event, LOGINS) && !has_any(&class, LOGINS) {
        return false;
    }
    let outcome = found.hint(Hint::Outcome).map(|text| folded(&text)).unwrap_or_default();
    let told = outcome_of(&outcome).or_else(|| outcome_of(&event));
    let told = told.or_else(|| outcome_of_message(message));
    // An application that gives a reason did not let the user in.
    let told = told.or_else(|| found.tells(Hint::Error).then_some(AuthOutcome::Failure));
    match told {
        Some(outcome) => verdict(outcome, reason(found, message), Confidence::High, out),
        None => out.row.action = Action::AuthInfo,
    }
    true
}

/// A message that begins with well-known words; an error tells of failures only.
fn by_message(found: &Found<'_>, message: &[u8], out: &mut Writer<'_>) -> bool {
    let error = found.hint(Hint::Error).filter(|_| message.is_empty()).unwrap_or_default();
    let outcome = outcome_of_message(message)
        .or_else(|| outcome_of_message(&error).filter(|told| *told == AuthOutcome::Failure));
    let Some(outcome) = outcome else { return false };
    verdict(outcome, reason(found, message), Confidence::Medium, out);
    if let Some(user) = user_in(message) {
        set_user(user, out);
    }
    true
}

/// The name in `… user 'bob'…`, and in Nextcloud's `Login failed: bob (Remote IP: 192.0.2.7)`.
fn user_in(message: &[u8]) -> Option<&[u8]> {
    if let Some((_, rest)) = cut(message, b"Login failed: ")
        && let Some(at) = memchr::memmem::rfind(rest, b" (Remote IP: ")
    {
        let name = &rest[..at];
        let unquoted = name.strip_prefix(b"'").and_then(|name| name.strip_suffix(b"'"));
        return Some(unquoted.unwrap_or(name));
    }
    let (_, rest) = cut(message, b"user ")?;
    let (quote, rest) = rest.split_first().filter(|(first, _)| matches!(first, b'\'' | b'"'))?;
    let mut ends = memchr::memchr_iter(*quote, rest);
    let end =
        ends.find(|end| matches!(rest.get(end + 1), None | Some(b':' | b',' | b'.' | b' ')))?;
    Some(&rest[..end])
}

fn set_user(user: &[u8], out: &mut Writer<'_>) {
    if user.is_empty() {
        out.row.empty_user = true;
    } else {
        out.set(Field::User, user);
    }
}

fn verdict(outcome: AuthOutcome, reason: Reason, confidence: Confidence, out: &mut Writer<'_>) {
    let is_failure = outcome == AuthOutcome::Failure;
    out.row.action = Action::Login;
    out.row.auth = Some(Auth {
        outcome,
        reason: is_failure.then_some(reason),
        method: AuthMethod::Form,
        confidence,
        counted: is_failure,
    });
}

/// How it ended, if the word says one thing.
fn outcome_of(word: &[u8]) -> Option<AuthOutcome> {
    match word {
        b"ok" | b"yes" | b"1" => return Some(AuthOutcome::Success),
        b"ko" | b"no" | b"0" => return Some(AuthOutcome::Failure),
        _ => (),
    }
    match (has_any(word, FAILED), has_any(word, WORKED) && !has_any(word, &["unsuccess"])) {
        (true, false) => Some(AuthOutcome::Failure),
        (false, true) => Some(AuthOutcome::Success),
        (false, false) if has_any(word, &["unsuccess"]) => Some(AuthOutcome::Failure),
        _ => None,
    }
}

fn outcome_of_message(message: &[u8]) -> Option<AuthOutcome> {
    let text = head(message);
    let words: Vec<&[u8]> = text.split(|byte| !byte.is_ascii_alphanumeric()).collect();
    let is_beside = |ends: &[&[u8]]| {
        let is_end = |word: &&[u8]| ends.contains(word);
        words.iter().enumerate().any(|(at, word)| {
            let near =
                at.saturating_sub(WORDS_BETWEEN + 1)..(at + WORDS_BETWEEN + 2).min(words.len());
            LOGIN_WORDS.contains(word) && words[near].iter().any(is_end)
        })
    };
    let failed = is_beside(FAILED_WORDS) || has_any(&text, FAILED_MESSAGES);
    let worked = is_beside(WORKED_WORDS) || has_any(&text, WORKED_MESSAGES);
    match (failed, worked) {
        (true, false) => Some(AuthOutcome::Failure),
        (false, true) => Some(AuthOutcome::Success),
        _ => None,
    }
}

/// The words of a message before anything that a client may have chosen, in lower case.
fn head(message: &[u8]) -> Vec<u8> {
    let message = &message[..message.len().min(HEAD_BYTES_MAX)];
    let is_mark =
        |byte: &u8| matches!(byte, b'"' | b'\'' | b'`' | b':' | b'=' | b'[' | b'<' | b'{');
    let end = message.iter().position(is_mark).unwrap_or(message.len());
    let mut text = message[..end].to_ascii_lowercase();
    text.iter_mut().for_each(|byte| {
        if matches!(byte, b'-' | b'_') {
            *byte = b' ';
        }
    });
    text
}

/// Why it failed, as far as the words say.
fn reason(found: &Found<'_>, message: &[u8]) -> Reason {
    let error = found.hint(Hint::Error).unwrap_or_default();
    let words = [head(message), b" ".to_vec(), head(&error)].concat();
    let rows: [(&[&str], Reason); 4] = [
        (&["unknown user", "user not found", "no such user", "user unknown"], Reason::UnknownUser),
        (&["wrong password", "incorrect password", "bad password"], Reason::WrongPassword),
        (&["locked", "disabled", "suspended"], Reason::AccountLocked),
        (&["too many"], Reason::TooManyAttempts),
    ];
    let known = rows.into_iter().find(|(texts, _)| has_any(&words, texts));
    known.map_or(Reason::BadCredentials, |(_, reason)| reason)
}

/// A word in lower case, without the marks between its parts.
fn folded(text: &[u8]) -> Vec<u8> {
    let parts = text.iter().take(HEAD_BYTES_MAX).filter(|byte| !matches!(byte, b'_' | b'-' | b' '));
    parts.map(u8::to_ascii_lowercase).collect()
}

fn has_any(text: &[u8], parts: &[&str]) -> bool {
    parts.iter().any(|part| memchr::memmem::find(text, part.as_bytes()).is_some())
}

#[cfg(test)]
mod tests {
    use super::super::super::testing;
    use super::super::GENERAL;

    /// The verdict as `outcome|reason|user|client`, of an object with a time and these members.
    #[track_caller]
    fn check(members: &str, expected: &str) {
        let line = format!(r#"{{"time":"2026-11-20T07:00:14Z",{members}}}"#);
        let facts = testing::read(GENERAL.parse, line.as_bytes()).expect("an event");
        let names = ["outcome", "reason", "user.name", "client"];
        let parts = names.map(|name| facts.get(name).map_or("-", String::as_str));
        assert_eq!(expected, parts.join("|"), "{line}\n{facts:#?}");
    }

    #[test]
    fn an_event_named_as_a_login_tells_how_it_ended() {
        check(
            r#""event":"user.login","success":false,"user":"bob","addr.remote":"192.0.2.7:5""#,
            "failure|bad_credentials|bob|192.0.2.7",
        );
        check(
            r#""event":{"category":["authentication"],"outcome":"success"},"user":{"name":"bob"},"source":{"ip":"192.0.2.7"}"#,
            "success|-|bob|192.0.2.7",
        );
        check(
            r#""type":"LOGIN_ERROR","ipAddress":"192.0.2.7","username":"bob","error":"user_not_found""#,
            "failure|unknown_user|bob|192.0.2.7",
        );
        check(
            r#""eventid":"sensor.login.failed","src_ip":"192.0.2.7","username":"bob""#,
            "failure|bad_credentials|bob|192.0.2.7",
        );
        // How it ended is not said, so it is no verdict.
        check(r#""event":"login","user":"bob","ip":"192.0.2.7""#, "-|-|bob|192.0.2.7");
    }

    #[test]
    fn a_message_is_believed_up_to_what_a_client_may_have_written() {
        check(
            r#""msg":"Unsuccessful 2FA authentication attempt by user 'bob'","remote_ip":"192.0.2.7""#,
            "failure|bad_credentials|bob|192.0.2.7",
        );
        check(
            r#""message":"Login failed: it's (me) (Remote IP: 192.0.2.7)","remoteAddr":"192.0.2.7","user":"--""#,
            "failure|bad_credentials|it's (me)|192.0.2.7",
        );
        check(
            r#""msg":"Invalid username or password","remote_addr":"192.0.2.7","uname":"""#,
            "failure|bad_credentials|-|192.0.2.7",
        );
        check(
            r#""msg":"User bob logged in","ip":"192.0.2.7","user":"bob""#,
            "success|-|bob|192.0.2.7",
        );
        check(
            r#""error":"invalid credentials","client_ip":"192.0.2.7","username":"bob""#,
            "failure|bad_credentials|bob|192.0.2.7",
        );
        for message in [
            "saved the note \\\"login failed\\\"",
            "login page loaded, upload failed",
            "title: authentication failed",
            "failed to load the login page",
            "login successful after failed login",
        ] {
            check(&format!(r#""msg":"{message}","ip":"192.0.2.7""#), "-|-|-|192.0.2.7");
        }
        // Without anybody to count it for, it is a line of a program.
        check(r#""msg":"authentication failed""#, "-|-|-|-");
    }
}
