//! Messages of PAM modules, whatever program they run in:
//! `pam_unix(vsftpd:auth): authentication failure; … ruser=bob rhost=192.0.2.7  user=bob`.

use memchr::memmem;

use super::grammar::{Part, parts, read};
use super::peer::Peer;
use super::{Verdict, contains, cut, set_count, set_user};
use crate::engine::batch::{Action, AuthMethod, ClientSource, Field, Reason, Writer};

/// Reads one message; false where it is none of a PAM module.
pub(super) fn parse(
    program: &[u8],
    tag_service: Option<&[u8]>,
    text: &[u8],
    out: &mut Writer<'_>,
) -> bool {
    let text = text.strip_suffix(b" [preauth]").unwrap_or(text);
    let Some((module, service, rest)) = split(program, tag_service, text) else { return false };
    if !service.is_empty() {
        out.set(Field::Service, service);
    }
    if let Some(rest) = rest.strip_prefix(b"authentication failure; ") {
        failure(module, service, rest, out);
    } else if let Some((count, rest)) = more_failures(rest) {
        set_count(count, out);
        failure(module, service, rest, out);
    } else if let Some(rest) = rest.strip_prefix(b"session opened for user ") {
        set_user(session_user(rest), out);
        out.row.action = Action::SessionOpened;
    } else if let Some(rest) = rest.strip_prefix(b"session closed for user ") {
        set_user(session_user(rest), out);
        out.row.action = Action::SessionClosed;
    } else {
        account(rest, out);
    }
    true
}

/// The module, the service, and what the module says.
fn split<'t>(
    program: &'t [u8],
    tag_service: Option<&'t [u8]>,
    text: &'t [u8],
) -> Option<(&'t [u8], &'t [u8], &'t [u8])> {
    if let Some(module) = tag_service
        && module.starts_with(b"pam_")
    {
        return Some((module, program, text));
    }
    if text.starts_with(b"PAM ") && more_failures(&text[4..]).is_some() {
        return Some((b"pam_unix", program, &text[4..]));
    }
    if let Some(rest) = text.strip_prefix(b"(pam_unix) ") {
        return Some((b"pam_unix", program, rest));
    }
    // Some programs pass on what the module says without its name.
    if text.starts_with(b"authentication failure; logname=") {
        return Some((b"pam_unix", program, text));
    }
    if !text.starts_with(b"pam_") {
        return None;
    }
    let (head, rest) = cut(text, b": ")?;
    let Some((module, inner)) = head.strip_suffix(b")").and_then(|head| cut(head, b"(")) else {
        return (!head.contains(&b' ')).then_some((head, program, rest));
    };
    // Without a facility, what stands in parentheses is the facility and not the service.
    match cut(inner, b":") {
        Some((service, _)) => Some((module, service, rest)),
        None => Some((module, program, rest)),
    }
}

/// `2 more authentication failures; <rest>`.
fn more_failures(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (count, rest) = text.split_at(digits);
    let rest = rest.strip_prefix(b" more authentication failure")?;
    let (plural, rest) = cut(rest, b"; ")?;
    ((1..=9).contains(&digits) && plural.len() <= 3).then_some((count, rest))
}

/// `logname= uid=0 euid=0 tty=ftp ruser=<name> rhost=<host>[  user=<name>]`.
fn failure(module: &[u8], service: &[u8], text: &[u8], out: &mut Writer<'_>) {
    // sshd, sudo and su count the same failure in lines of their own; other modules of the same
    // stack repeat what pam_unix says.
    let is_repeated = service.starts_with(b"sshd")
        || matches!(service, b"sudo" | b"sudo-i" | b"su" | b"su-l" | b"doas");
    let mut verdict = Verdict::failure(Reason::BadCredentials, AuthMethod::Pam);
    verdict.counted = module == b"pam_unix" && !is_repeated;
    verdict.set(Action::Login, out);

    let Some((_, rest)) = cut(text, b" ruser=") else { return };
    let mut places = memmem::find_iter(rest, b" rhost=").filter_map(|at| remote(rest, at)).take(4);
    let Some(Remote { remote_user, host, user }) = places.next() else { return };
    if places.next().is_some() {
        out.row.client_source = ClientSource::Ambiguous;
    }
    if !host.is_empty() {
        Peer { address: host, port: b"" }.set(out);
    }
    // Programs that ask for a name themselves pass it as the remote user.
    let user = user.unwrap_or(remote_user);
    if !user.is_empty() {
        out.set(Field::User, user);
    }
}

/// Who failed, and where from.
struct Remote<'t> {
    /// The name given by the program at the other end.
    remote_user: &'t [u8],
    host: &'t [u8],
    /// The account; not there where it does not exist.
    user: Option<&'t [u8]>,
}

/// Reads ` rhost=<host>` at `at` of `<name> rhost=<host>[  user=<name>]`, up to the end.
fn remote(text: &[u8], at: usize) -> Option<Remote<'_>> {
    let after = &text[at + b" rhost=".len()..];
    let end = memchr::memchr(b' ', after).unwrap_or(after.len());
    let rest = after[end..].trim_ascii_start();
    let user = rest.strip_prefix(b"user=");
    let remote = Remote { remote_user: &text[..at], host: &after[..end], user };
    (rest.is_empty() || user.is_some()).then_some(remote)
}

/// `root(uid=0) by alice(uid=1000)`, `root by (uid=0)`, `root`.
fn session_user(text: &[u8]) -> &[u8] {
    let text = cut(text, b" by ").map_or(text, |(user, _)| user);
    cut(text, b"(uid=").map_or(text, |(user, _)| user)
}

/// What is said about an account as such.
fn account(text: &[u8], out: &mut Writer<'_>) {
    if let Some(rest) = text.strip_prefix(b"Consecutive login failures for user ") {
        set_user(cut(rest, b" account temporarily").map_or(rest, |(user, _)| user), out);
        Verdict::uncounted(Reason::AccountLocked, AuthMethod::Pam).set(Action::AccountLocked, out);
    } else if let Some((user, _)) = text.strip_prefix(b"user ").and_then(|rest| cut(rest, b" ("))
        && contains(text, b" tally ")
        && contains(text, b", deny ")
    {
        set_user(user, out);
        Verdict::uncounted(Reason::AccountLocked, AuthMethod::Pam).set(Action::AccountLocked, out);
    } else if let Some(rest) = text.strip_prefix(b"account ")
        && let Some((user, _)) = cut(rest, b" has expired")
    {
        set_user(user, out);
        Verdict::uncounted(Reason::NotAllowed, AuthMethod::Pam).set(Action::Login, out);
    } else if let Some(user) = text.strip_prefix(b"password changed for ") {
        set_user(user, out);
    } else if let Some((user, reason)) = directory(text) {
        // The program behind the module counts.
        set_user(user, out);
        Verdict::uncounted(reason, AuthMethod::Pam).set(Action::Login, out);
    }
}

/// What modules that ask a directory say about an account: `pam_sss`, `pam_winbind`, `pam_ldap`.
fn directory(text: &[u8]) -> Option<(&[u8], Reason)> {
    const SHAPES: [(&[Part], Reason); 6] = [
        (
            parts!("received for user " user ": " number " (Authentication failure)"),
            Reason::BadCredentials,
        ),
        (
            parts!("received for user " user ": " number " (User not known to the underlying authentication module)"),
            Reason::UnknownUser,
        ),
        (parts!("received for user " user ": " number " (Permission denied)"), Reason::NotAllowed),
        (parts!("user '" user "' denied access (" own), Reason::BadCredentials),
        (
            parts!("error trying to bind as user \"" user "\" (Invalid credentials)"),
            Reason::WrongPassword,
        ),
        (parts!("Authentication failure; user=" user), Reason::BadCredentials),
    ];
    let found = SHAPES.iter().find_map(|(shape, reason)| Some((read(shape, text)?, *reason)));
    found.and_then(|(reading, reason)| Some((reading.user?, reason)))
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::check;
    use super::super::parse;

    const KEYS: &str = "logname= uid=0 euid=0 tty=x";

    /// User, client and whether it counts.
    #[track_caller]
    fn check_failure(tag: &str, message: &str, user: &str, client: &str, counted: &str) {
        check(
            parse,
            &format!("Nov 20 07:00:18 web1 {tag}: {message}"),
            &[
                ("outcome", "failure"),
                ("action", "login"),
                ("method", "pam"),
                ("user.name", user),
                ("client", client),
                ("counted", counted),
            ],
        );
    }

    #[test]
    fn failures_count_where_no_other_line_does() {
        for (tag, module, counted) in [
            ("vsftpd[13]", "pam_unix(vsftpd:auth): ", "true"),
            ("auth", "pam_unix(dovecot:auth): ", "true"),
            ("sshd[13]", "pam_unix(sshd:auth): ", "false"),
            ("sudo", "pam_unix(sudo:auth): ", "false"),
            ("gdm[13]", "pam_sss(gdm:auth): ", "false"),
            ("proftpd", "(pam_unix) ", "true"),
            ("login(pam_unix)[13]", "", "true"),
            ("vsftpd", "pam_unix: ", "true"),
        ] {
            let message =
                format!("{module}authentication failure; {KEYS} ruser=x rhost=192.0.2.7  user=bob");
            check_failure(tag, &message, "bob", "192.0.2.7", counted);
        }
    }

    #[test]
    fn names_and_hosts_may_be_missing() {
        let start = format!("pam_unix(vsftpd:auth): authentication failure; {KEYS}");
        check_failure(
            "v",
            &format!("{start} ruser=bob rhost=192.0.2.7"),
            "bob",
            "192.0.2.7",
            "true",
        );
        check_failure("v", &format!("{start} ruser= rhost=192.0.2.7"), "-", "192.0.2.7", "true");
        check_failure("v", &format!("{start} ruser= rhost=  user=bob"), "bob", "-", "true");
    }

    #[test]
    fn a_name_cannot_point_at_somebody_else() {
        let start = format!("pam_unix(vsftpd:auth): authentication failure; {KEYS}");
        check_failure(
            "v",
            &format!("{start} ruser=a rhost=6.6.6.6 rhost=192.0.2.7"),
            "a rhost=6.6.6.6",
            "192.0.2.7",
            "true",
        );
        let line =
            format!("Nov 20 07:00:18 h v: {start} ruser= rhost=192.0.2.7  user=a rhost=6.6.6.6");
        check(parse, &line, &[("client", "192.0.2.7"), ("client_source", "ambiguous")]);
    }

    #[test]
    fn folded_failures_tell_their_number() {
        let message =
            format!("PAM 2 more authentication failures; {KEYS} ruser= rhost=192.0.2.7  user=bob");
        check_failure("sshd[5]", &message, "bob", "192.0.2.7", "false");
        let line = format!("Nov 20 07:00:18 h vsftpd[5]: {message}");
        check(parse, &line, &[("count", "2"), ("counted", "true")]);
    }

    #[test]
    fn sessions_open_and_close() {
        for (message, action) in [
            ("session opened for user bob(uid=5) by alice(uid=6)", "session_opened"),
            ("session opened for user bob by (uid=0)", "session_opened"),
            ("session closed for user bob", "session_closed"),
        ] {
            let line = format!("Nov 20 07:00:18 h sudo: pam_unix(sudo:session): {message}");
            check(
                parse,
                &line,
                &[
                    ("action", action),
                    ("user.name", "bob"),
                    ("service.name", "sudo"),
                    ("outcome", "-"),
                ],
            );
        }
    }

    #[test]
    fn a_locked_account_is_told() {
        check(
            parse,
            "Nov 20 07:00:18 h login[5]: pam_faillock(login:auth): Consecutive login failures for user bob account temporarily locked",
            &[
                ("action", "account_locked"),
                ("user.name", "bob"),
                ("reason", "account_locked"),
                ("counted", "false"),
            ],
        );
    }
}
