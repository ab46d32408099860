//! Log-ins in the JSON logs of applications.
//!
//! Three things tell of one, the surest first: a message in the words of a program that the
//! login logs know; an event named as a log-in together with how it ended; a message that begins
//! with well-known words such as "Login failed".
//!
//! Invariant: the outcome is read from what the application writes. Names and values of the
//! client stand in quotes or behind a colon, so of a free message only the words before the first
//! of these are looked at; where they speak of both outcomes there is no verdict. The client is an
//! address of a field of its own, or of a message whose grammar is known.

use super::keys::{Found, Hint};
use crate::engine::batch::{
    Action, Auth, AuthMethod, AuthOutcome, Confidence, Field, Kind, Reason, Writer,
};
use crate::engine::format::auth;

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

/// Words at the beginning of messages about log-ins that failed, lower-cased.
const FAILED_MESSAGES: &[&str] = &[
    "login failed",
    "login failure",
    "failed login",
    "failed to login",
    "failed to log in",
    "log in failed",
    "failed sign in",
    "sign in failed",
    "signin failed",
    "login attempt failed",
    "failed login attempt",
    "unsuccessful login",
    "login unsuccessful",
    "authentication failed",
    "authentication failure",
    "authentication unsuccessful",
    "failed authentication",
    "failed to authenticate",
    "auth failed",
    "authentication error",
    "invalid credentials",
    "invalid username or password",
    "invalid user or password",
    "invalid login",
    "invalid password",
    "incorrect password",
    "incorrect username or password",
    "wrong password",
    "wrong username or password",
    "bad credentials",
    "bad password",
    "password mismatch",
    "unknown user",
    "user not found",
];

/// The same of log-ins that worked.
const WORKED_MESSAGES: &[&str] = &[
    "login successful",
    "login succeeded",
    "login success",
    "successful login",
    "successfully logged in",
    "logged in",
    "log in successful",
    "sign in successful",
    "signed in",
    "authentication successful",
    "authentication succeeded",
    "successful authentication",
    "successfully authenticated",
    "user authenticated",
];

/// Longest part of a message that is looked at.
const HEAD_BYTES_MAX: usize = 120;

/// Sets the verdict of a line about a log-in or log-out; false where it is none.
pub(super) fn set(found: &Found<'_>, out: &mut Writer<'_>) -> bool {
    let message = found.hint(Hint::Message).unwrap_or_default();
    let known = by_program(found, &message, out)
        || by_event(found, &message, out)
        || by_message(found, &message, out);
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
    auth::message(&program, None, message.trim_ascii(), out);
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

/// A message that begins with well-known words.
fn by_message(found: &Found<'_>, message: &[u8], out: &mut Writer<'_>) -> bool {
    let Some(outcome) = outcome_of_message(message) else { return false };
    verdict(outcome, reason(found, message), Confidence::Medium, out);
    true
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
    match (has_any(&text, FAILED_MESSAGES), has_any(&text, WORKED_MESSAGES)) {
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
