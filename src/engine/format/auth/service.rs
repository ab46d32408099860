//! Log-ins of programs other than sshd that log to syslog: mail and file servers, web
//! applications, and the system's own accounts.
//!
//! One row of [`SHAPES`] reads messages that end in the client; the others have a function each.

use memchr::memmem;

use super::peer::Peer;
use super::{Verdict, cut, cut_last, set_user};
use crate::engine::address::{parse_ip, split_last_port};
use crate::engine::batch::{Action, AuthMethod, ClientSource, Field, Reason, Writer};

/// A message of the shape `<start><user> from <client>`.
struct Shape {
    /// What the name of the program begins with.
    program: &'static [u8],
    start: &'static [u8],
    verdict: Verdict,
}

const fn shape(program: &'static [u8], start: &'static [u8], verdict: Verdict) -> Shape {
    Shape { program, start, verdict }
}

const WELCOME: Verdict = Verdict::success(AuthMethod::Form);
const WRONG: Verdict = Verdict::failure(Reason::WrongPassword, AuthMethod::Form);
const BAD: Verdict = Verdict::failure(Reason::BadCredentials, AuthMethod::Form);
const UNKNOWN: Verdict = Verdict::failure(Reason::UnknownUser, AuthMethod::Form);
const REFUSED: Verdict = Verdict::failure(Reason::Policy, AuthMethod::Form);
const SSH_WELCOME: Verdict = Verdict::success(AuthMethod::Password);
const SSH_KEY: Verdict = Verdict::success(AuthMethod::PublicKey);
const SSH_WRONG: Verdict = Verdict::failure(Reason::WrongPassword, AuthMethod::Password);
const SSH_UNKNOWN: Verdict = Verdict::failure(Reason::UnknownUser, AuthMethod::Password);

const SHAPES: &[Shape] = &[
    shape(b"wordpress", b"Accepted password for ", WELCOME),
    shape(b"wordpress", b"Authentication failure for ", WRONG),
    shape(b"wordpress", b"Authentication attempt for unknown user ", UNKNOWN),
    shape(b"wordpress", b"XML-RPC authentication failure for ", WRONG),
    shape(b"wordpress", b"XML-RPC authentication attempt for unknown user ", UNKNOWN),
    shape(b"wordpress", b"Blocked authentication attempt for ", REFUSED),
    shape(b"phpMyAdmin", b"user denied: ", BAD),
    shape(b"phpMyAdmin", b"user authenticated: ", WELCOME),
    shape(b"dropbear", b"Bad password attempt for ", SSH_WRONG),
    shape(b"dropbear", b"Bad PAM password attempt for ", SSH_WRONG),
    shape(b"dropbear", b"Login attempt for nonexistent user", SSH_UNKNOWN),
    shape(b"dropbear", b"Password auth succeeded for ", SSH_WELCOME),
    shape(b"dropbear", b"PAM password auth succeeded for ", SSH_WELCOME),
    shape(b"dropbear", b"Pubkey auth succeeded for ", SSH_KEY),
];

/// Reads one message; what is not known stays as it is.
pub(super) fn parse(program: &[u8], text: &[u8], out: &mut Writer<'_>) {
    let known = if program.starts_with(b"dovecot") {
        dovecot(text, out)
    } else if program.starts_with(b"postfix") {
        postfix(text, out)
    } else if program.starts_with(b"proftpd") {
        proftpd(text, out)
    } else if program.starts_with(b"roundcube") {
        roundcube(text, out)
    } else {
        ends_in_client(program, text, out)
    };
    if known {
        if !out.has(Field::Service) {
            out.set(Field::Service, program);
        }
    } else {
        accounts(program, text, out);
    }
}

fn ends_in_client(program: &[u8], text: &[u8], out: &mut Writer<'_>) -> bool {
    let found = SHAPES.iter().find_map(|shape| {
        let rest = text.strip_prefix(shape.start)?;
        program.starts_with(shape.program).then_some((shape, rest))
    });
    let Some((shape, rest)) = found else { return false };
    let Some((user, client)) = cut_last(rest, b"from ") else { return false };
    let (address, _) = split_last_port(client.trim_ascii());
    if parse_ip(address).is_none() {
        return false;
    }
    // `'bob'`, `bob (mysql-denied)`, `bob with key …`: what the program adds is not the name.
    let user = user.trim_ascii();
    let user = match user.strip_prefix(b"'") {
        Some(quoted) => cut_last(quoted, b"'").map_or(quoted, |(user, _)| user),
        None if user.ends_with(b")") => cut_last(user, b" (").map_or(user, |(user, _)| user),
        None => user,
    };
    set_user(user, out);
    Peer { address, port: b"" }.set(out);
    shape.verdict.set(Action::Login, out);
    true
}

/// `imap-login: Disconnected (auth failed, …): user=<bob>, method=PLAIN, rip=192.0.2.7, lip=…`
/// and `imap-login: Login: user=<bob>, …`.
fn dovecot(text: &[u8], out: &mut Writer<'_>) -> bool {
    let Some((service, rest)) = cut(text, b": ") else { return false };
    if !service.ends_with(b"-login") {
        return false;
    }
    // The daemon writes addresses behind the name, so the last ones are its own.
    let Some((head, tail)) = cut_last(rest, b", rip=") else { return false };
    let address = cut(tail, b",").map_or(tail, |(address, _)| address);
    Peer { address, port: b"" }.set(out);
    out.set(Field::Service, service);
    let Some((verb, user)) = cut(head, b"user=<") else { return true };
    let user = cut_last(user, b">").map_or(user, |(user, _)| user);
    if !user.is_empty() {
        out.set(Field::User, user);
    }
    if verb.starts_with(b"Login: ") {
        Verdict::success(AuthMethod::Password).set(Action::Login, out);
    } else if super::contains(verb, b"auth failed") {
        // No line of its own exists for each attempt, so this one counts.
        Verdict::failure(Reason::BadCredentials, AuthMethod::Password).set(Action::Login, out);
    }
    true
}

/// `warning: mail.example.org[192.0.2.7]: SASL LOGIN authentication failed: …`, and any other
/// line that begins with what its client did: `connect from …`, `NOQUEUE: reject: RCPT from …`.
fn postfix(text: &[u8], out: &mut Writer<'_>) -> bool {
    // The daemon names the client first: the name from the reverse lookup, without brackets, and
    // the address.
    let Some((head, rest)) = cut(text, b"[") else { return false };
    let Some((address, rest)) = cut(rest, b"]") else { return false };
    if parse_ip(address).is_none() {
        return false;
    }
    let sasl = head.strip_prefix(b"warning: ").filter(|name| !name.contains(&b' '));
    if sasl.is_none() && !super::contains(head, b"from ") {
        return false;
    }
    Peer { address, port: b"" }.set(out);
    if let Some((_, rest)) =
        rest.strip_prefix(b": SASL ").and_then(|rest| cut(rest, b" authentication failed"))
        && sasl.is_some()
    {
        if let Some((_, user)) = cut_last(rest, b", sasl_username=") {
            set_user(user, out);
        }
        Verdict::failure(Reason::BadCredentials, AuthMethod::Password).set(Action::Login, out);
    }
    true
}

/// `[<session> ]Failed login for bob from 192.0.2.7 in session …` and
/// `IMAP Error: Login failed for bob[ against host] from 192.0.2.7[(X-Real-IP: …)][. AUTHENTICATE …]`.
/// The mail server's answer behind it repeats the name, so neither end is safe from the client.
fn roundcube(text: &[u8], out: &mut Writer<'_>) -> bool {
    const STARTS: [(&[u8], Verdict); 4] = [
        (b"Failed login for ", BAD),
        (b"FAILED login for ", BAD),
        (b"IMAP Error: Login failed for ", BAD),
        (b"Successful login for ", WELCOME),
    ];
    const ENDS: [&[u8]; 4] = [b". ", b" in session ", b"(X-", b"("];
    let text = match text.strip_prefix(b"<").and_then(|text| cut(text, b"> ")) {
        Some((session, rest)) if session.iter().all(u8::is_ascii_alphanumeric) => rest,
        _ => text,
    };
    let found =
        STARTS.iter().find_map(|(start, verdict)| Some((text.strip_prefix(*start)?, verdict)));
    let Some((rest, verdict)) = found else { return false };
    let mut places = memmem::find_iter(rest, b" from ").filter_map(|at| {
        let after = &rest[at + b" from ".len()..];
        let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
        let length = after.iter().take_while(|byte| is_part(byte)).count();
        let address = after[..length].strip_suffix(b".").unwrap_or(&after[..length]);
        let behind = &after[address.len()..];
        let is_end = behind.is_empty() || ENDS.iter().any(|end| behind.starts_with(end));
        (is_end && parse_ip(address).is_some()).then_some((&rest[..at], address))
    });
    let Some((user, address)) = places.next() else { return false };
    if places.take(4).any(|(_, other)| other != address) {
        out.row.client_source = ClientSource::Ambiguous;
    }
    let user = cut_last(user, b" against ").map_or(user, |(user, _)| user);
    let user = cut_last(user, b" (ID: ").map_or(user, |(user, _)| user);
    set_user(user, out);
    Peer { address, port: b"" }.set(out);
    verdict.set(Action::Login, out);
    true
}

/// `web1 (client.example.org[192.0.2.7]) - USER bob (Login failed): Incorrect password`.
fn proftpd(text: &[u8], out: &mut Writer<'_>) -> bool {
    let Some((peer, rest)) = cut(text, b"]) - USER ") else { return false };
    let Some((_, address)) = cut_last(peer, b"[") else { return false };
    let ends: [(&[u8], Verdict); 3] = [
        (b" (Login failed): ", Verdict::failure(Reason::WrongPassword, AuthMethod::Password)),
        (b": no such user found ", Verdict::failure(Reason::UnknownUser, AuthMethod::Password)),
        (b": Login successful", Verdict::success(AuthMethod::Password)),
    ];
    let found = ends.into_iter().find_map(|(end, verdict)| Some((cut(rest, end)?.0, verdict)));
    let Some((user, verdict)) = found else { return false };
    set_user(user, out);
    Peer { address, port: b"" }.set(out);
    verdict.set(Action::Login, out);
    true
}

/// Lines of the system about its accounts and sessions.
fn accounts(program: &[u8], text: &[u8], out: &mut Writer<'_>) {
    match program {
        b"systemd-logind" => {
            if let Some(rest) = text.strip_prefix(b"New session ")
                && let Some((_, user)) = cut(rest, b" of user ")
            {
                set_user(user.strip_suffix(b".").unwrap_or(user), out);
                out.row.action = Action::SessionOpened;
            } else if text.starts_with(b"Removed session ") {
                out.row.action = Action::SessionClosed;
            }
        }
        b"useradd" | b"adduser" => {
            if let Some(rest) = text.strip_prefix(b"new user: name=") {
                set_user(cut(rest, b",").map_or(rest, |(user, _)| user), out);
            }
        }
        b"userdel" | b"deluser" => {
            if let Some((user, _)) =
                text.strip_prefix(b"delete user '").and_then(|rest| cut(rest, b"'"))
            {
                set_user(user, out);
            }
        }
        b"login" => {
            if text.starts_with(b"FAILED LOGIN ")
                && let Some((_, rest)) = cut(text, b" FOR '")
                && let Some((user, _)) = cut_last(rest, b"', ")
            {
                set_user(user, out);
                // pam_unix counts it.
                Verdict::uncounted(Reason::BadCredentials, AuthMethod::Pam).set(Action::Login, out);
            }
        }
        _ => (),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing;

    /// User, client, outcome and reason.
    #[track_caller]
    fn check(message: &str, expected: [&str; 4]) {
        let names = ["user.name", "client", "outcome", "reason"];
        let expected: Vec<(&str, &str)> = names.into_iter().zip(expected).collect();
        let line = format!("Nov 20 07:00:18 web1 {message}");
        testing::check(super::super::parse, &line, &expected);
    }

    #[test]
    fn applications_name_user_and_client() {
        let ip = "192.0.2.7";
        check(
            "wordpress(blog.example.org)[5]: Accepted password for bob from 192.0.2.7",
            ["bob", ip, "success", "-"],
        );
        check(
            "wordpress(blog.example.org)[5]: Authentication failure for bob from 192.0.2.7",
            ["bob", ip, "failure", "wrong_password"],
        );
        check(
            "wordpress(x)[5]: Authentication attempt for unknown user a from 6.6.6.6 from 192.0.2.7",
            ["a from 6.6.6.6", ip, "failure", "unknown_user"],
        );
        check(
            "phpMyAdmin[5]: user denied: root (mysql-denied) from 192.0.2.7",
            ["root", ip, "failure", "bad_credentials"],
        );
        for message in [
            "roundcube: Failed login for bob from 192.0.2.7",
            "roundcube[5]: <4z506z6r> Failed login for bob from 192.0.2.7 in session 4z506 (error: 0)",
            "roundcube: IMAP Error: Login failed for bob against mail from 192.0.2.7(X-Real-IP: 192.0.2.3). AUTHENTICATE PLAIN: no",
        ] {
            check(message, ["bob", ip, "failure", "bad_credentials"]);
        }
        testing::check(
            super::super::parse,
            "Nov 20 07:00:18 h roundcube: IMAP Error: Login failed for bob from 192.0.2.7. AUTHENTICATE PLAIN: user=x from 6.6.6.6. no",
            &[("client_source", "ambiguous")],
        );
    }

    #[test]
    fn other_daemons_name_user_and_client() {
        let ip = "192.0.2.7";
        check(
            "dropbear[5]: Bad password attempt for 'bob' from 192.0.2.7:34422",
            ["bob", ip, "failure", "wrong_password"],
        );
        check(
            "dropbear[5]: Login attempt for nonexistent user from 192.0.2.7:34422",
            ["-", ip, "failure", "unknown_user"],
        );
        check(
            "dovecot: imap-login: Disconnected (auth failed, 1 attempts): user=<a>, rip=6.6.6.6>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, TLS",
            ["a>, rip=6.6.6.6", ip, "failure", "bad_credentials"],
        );
        check(
            "dovecot: pop3-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1",
            ["bob", ip, "success", "-"],
        );
        check(
            "postfix/smtpd[5]: warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: UGFzc3dvcmQ6",
            ["-", ip, "failure", "bad_credentials"],
        );
        check("postfix/smtpd[5]: connect from x.example.org[192.0.2.7]", ["-", ip, "-", "-"]);
        check(
            "postfix/smtpd[5]: NOQUEUE: reject: RCPT from unknown[192.0.2.7]: 554 5.7.1 <[6.6.6.6]>: no",
            ["-", ip, "-", "-"],
        );
        check(
            "proftpd[5]: web1 (c.example.org[192.0.2.7]) - USER bob (Login failed): Incorrect password",
            ["bob", ip, "failure", "wrong_password"],
        );
    }

    #[test]
    fn the_system_speaks_of_its_accounts() {
        check("systemd-logind[5]: New session 7 of user bob.", ["bob", "-", "-", "-"]);
        check("useradd[5]: new user: name=web, UID=48, GID=48", ["web", "-", "-", "-"]);
        check(
            "login[5]: FAILED LOGIN (1) on '/dev/tty1' FOR 'root', Authentication failure",
            ["root", "-", "failure", "bad_credentials"],
        );
    }
}
