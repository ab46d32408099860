//! Log-ins in messages that one wording cannot describe: mail servers that put the address in the
//! middle, and the system's own accounts.

use memchr::memmem;

use super::grammar::{Part, Reading, address_at, parts, read};
use super::peer::Peer;
use super::{Verdict, contains, cut, cut_last, set_user};
use crate::engine::address::parse_ip;
use crate::engine::batch::{Action, AuthMethod, ClientSource, Field, Reason, Writer};

const WELCOME: Verdict = Verdict::success(AuthMethod::Form);
const BAD: Verdict = Verdict::failure(Reason::BadCredentials, AuthMethod::Form);

/// Reads one message; false where it is of no program known here, or says nothing.
pub(super) fn parse(program: &[u8], text: &[u8], out: &mut Writer<'_>) -> bool {
    let known = if is_dovecot(program) {
        dovecot(program, text, out)
    } else if program.starts_with(b"postfix") {
        postfix(text, out)
    } else if program.is_empty() || program.starts_with(b"roundcube") {
        roundcube(text, out)
    } else {
        accounts(program, text, out)
    };
    if known && !program.is_empty() && !out.has(Field::Service) {
        out.set(Field::Service, program);
    }
    known
}

/// `dovecot`, and its processes where each logs under its own name.
fn is_dovecot(program: &[u8]) -> bool {
    program.starts_with(b"dovecot")
        || program.ends_with(b"-login")
        || matches!(program, b"auth" | b"auth-worker")
}

/// `imap-login: Disconnected (auth failed, …): user=<bob>, method=PLAIN, rip=192.0.2.7, lip=…`,
/// `imap-login: Login: user=<bob>, …` and `auth-worker(5): pam(bob,192.0.2.7): unknown user`.
fn dovecot(program: &[u8], text: &[u8], out: &mut Writer<'_>) -> bool {
    let (service, rest) = match cut(text, b": ") {
        Some((service, rest)) if service.ends_with(b"-login") => (service, rest),
        _ if program.ends_with(b"-login") => (program, text),
        _ => return dovecot_worker(text, out),
    };
    // The daemon writes addresses behind the name, so the last ones are its own.
    let Some((head, tail)) = cut_last(rest, b", rip=").or_else(|| cut_last(rest, b": rip=")) else {
        return false;
    };
    let address = cut(tail, b",").map_or(tail, |(address, _)| address);
    Peer { address, port: b"" }.set(out);
    out.set(Field::Service, service);
    let (verb, user) = cut(head, b"user=<").unwrap_or((head, b""));
    let user = cut_last(user, b">").map_or(user, |(user, _)| user);
    if !user.is_empty() {
        out.set(Field::User, user);
    }
    let verb = verb.strip_prefix(b"Info: ").unwrap_or(verb);
    if verb.starts_with(b"Login: ") {
        Verdict::success(AuthMethod::Password).set(Action::Login, out);
    } else if contains(verb, b"auth failed") {
        // No line of its own is sure to exist for each attempt, so this one counts.
        Verdict::failure(Reason::BadCredentials, AuthMethod::Password).set(Action::Login, out);
    } else if contains(verb, b"(tried to use dis") {
        // A password without encryption, or a method that is off: nothing was tried.
        Verdict::uncounted(Reason::Policy, AuthMethod::Password).set(Action::Login, out);
    } else {
        out.row.action = Action::PreauthDisconnect;
    }
    true
}

/// What the process that asks the database says; the login process tells the end, and counts.
fn dovecot_worker(text: &[u8], out: &mut Writer<'_>) -> bool {
    const COMPLAINTS: [(&[u8], Reason); 8] = [
        (b"unknown user", Reason::UnknownUser),
        (b"User not known", Reason::UnknownUser),
        (b"assword mismatch", Reason::WrongPassword),
        (b"pam_authenticate() failed", Reason::BadCredentials),
        (b"nvalid credentials", Reason::BadCredentials),
        (b"disabled", Reason::NotAllowed),
        (b"expired", Reason::NotAllowed),
        (b"Permission denied", Reason::NotAllowed),
    ];
    let shapes: [&[Part]; 4] = [
        parts!(own "(" user "," client "): " free),
        parts!(own "(" user "," client ",): " free),
        parts!(own "(" user "," client "," word "): " free),
        parts!(own "(" user "," client "," word ")<" word ">: " free),
    ];
    let text = without_process(text);
    let Some(Reading { user: Some(user), client: Some(client), is_sure }) =
        shapes.iter().find_map(|shape| read(shape, text))
    else {
        return false;
    };
    // The complaint stands behind the address; before it stands what the client sent.
    let end = (client.text.as_ptr() as usize - text.as_ptr() as usize) + client.text.len();
    let complaint = COMPLAINTS.iter().find(|(words, _)| contains(&text[end..], words));
    Peer { address: client.text, port: client.port }.set(out);
    set_user(user, out);
    if !is_sure {
        out.row.client_source = ClientSource::Ambiguous;
    }
    if let Some((_, reason)) = complaint {
        Verdict::uncounted(*reason, AuthMethod::Password).set(Action::Login, out);
    }
    true
}

/// Takes `auth-worker(5): `, `conn unix:auth-worker (pid=5,uid=97): ` and levels off the front: what
/// holds no address before its colon.
fn without_process(text: &[u8]) -> &[u8] {
    let mut rest = text;
    for _ in 0..4 {
        let Some((head, after)) = cut(rest, b": ") else { break };
        let mut commas = memchr::memchr_iter(b',', head);
        if commas.any(|comma| address_at(&head[comma + 1..]).is_some()) {
            break;
        }
        rest = after;
    }
    rest
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
    if sasl.is_none() && !contains(head, b"from ") {
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

/// Lines of the system about its accounts and sessions.
fn accounts(program: &[u8], text: &[u8], out: &mut Writer<'_>) -> bool {
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
        _ => return false,
    }
    true
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
