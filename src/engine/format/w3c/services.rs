//! The services of Windows beside its web sites: HTTP.sys, which refuses before any site sees a
//! request, and FTP.

use super::layout::{Product, Seen};
use crate::engine::batch::{
    Action, Auth, AuthMethod, AuthOutcome, Confidence, Field, Kind, Level, Reason, Writer,
};

/// Why HTTP.sys closed a connection or refused a request, before any site saw it.
pub(super) fn http_err(reason: &[u8], out: &mut Writer<'_>) {
    let row = &mut out.row;
    row.kind = Kind::ServerError;
    let is_of_pool = |word: &[u8]| memchr::memmem::find(reason, word).is_some();
    row.action = match row.status {
        _ if matches!(reason, b"ConnLimit" | b"Connections_Refused" | b"RequestQueueFull") => {
            Action::RateLimited
        }
        _ if is_of_pool(b"App") || reason == b"QueueFull" || reason == b"Disabled" => {
            Action::UpstreamError
        }
        403 => Action::AccessDenied,
        400..=499 | 505 => Action::BadRequest,
        _ => Action::ServerError,
    };
    row.level = match row.status {
        500.. => Level::Error,
        400.. => Level::Warn,
        // Idle clients are let go all the time.
        _ if reason.starts_with(b"Timer_") => Level::Info,
        _ => Level::Notice,
    };
    out.set(Field::Message, reason);
}

/// `[12]USER`: the FTP service of IIS 6 numbers its connections.
pub(super) fn is_numbered(command: &[u8]) -> bool {
    let Some(rest) = command.strip_prefix(b"[") else { return false };
    memchr::memchr(b']', rest)
        .is_some_and(|end| 0 < end && rest[..end].iter().all(u8::is_ascii_digit))
}

/// A command of FTP. The answer to PASS is the verdict about the log-in; what was sent with it is
/// not kept.
pub(super) fn ftp(seen: &Seen<'_>, out: &mut Writer<'_>) {
    (out.row.module, out.row.format) = Product::Ftp.identity();
    (out.row.kind, out.row.action) = (Kind::Auth, Action::AuthInfo);
    let command = seen.method.unwrap_or_default();
    let start = memchr::memchr(b']', command).filter(|_| is_numbered(command));
    let command = &command[start.map_or(0, |end| end + 1)..];
    // A status of FTP is none of HTTP.
    let status = std::mem::take(&mut out.row.status);
    let is_password = command.eq_ignore_ascii_case(b"PASS");
    let argument = seen.stem.filter(|_| !is_password);
    if command.eq_ignore_ascii_case(b"USER")
        && let (Some(name), false) = (argument, out.has(Field::User))
    {
        out.set(Field::User, name);
    } else if let Some(path) = argument {
        out.set(Field::Target, path);
        out.set(Field::Path, path);
    }
    if !command.is_empty() {
        out.label("ftp_command", command);
    }
    let mut code = itoa::Buffer::new();
    let code = if status == 0 { "-" } else { code.format(status) };
    if status != 0 {
        out.set(Field::Code, code.as_bytes());
    }
    out.set_with(Field::Message, |to| {
        to.extend_from_slice(b"FTP ");
        to.extend_from_slice(if command.is_empty() { b"-" } else { command });
        to.push(b' ');
        to.extend_from_slice(code.as_bytes());
    });
    if !is_password {
        return;
    }
    let auth = |outcome, reason, counted| {
        let (method, confidence) = (AuthMethod::Password, Confidence::High);
        Some(Auth { outcome, reason, method, confidence, counted })
    };
    match status {
        230 | 232 => out.row.auth = auth(AuthOutcome::Success, None, false),
        430 | 530 => {
            out.row.auth = auth(AuthOutcome::Failure, Some(Reason::BadCredentials), true);
            out.row.level = Level::Warn;
        }
        _ => return,
    }
    out.row.action = Action::Login;
}
