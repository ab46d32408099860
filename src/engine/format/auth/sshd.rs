//! Messages of OpenSSH's daemon: `sshd`, and since 9.8 also `sshd-session` and `sshd-auth`.
//!
//! One guess leaves several lines: `Invalid user`, a PAM failure, `Failed password`, and the end
//! of the connection. Only `Failed` lines count; the others tell what they know without counting.

use super::peer::Peer;
use super::{Verdict, contains, cut, cut_last, set_user};
use crate::engine::address::split_port;
use crate::engine::batch::{Action, AuthMethod, ClientSource, Field, Level, Reason, Writer};

/// Reads one message; what is not known stays as it is.
pub(super) fn parse(program: &[u8], text: &[u8], out: &mut Writer<'_>) {
    if let Some(service) = program.get(..4) {
        out.set(Field::Service, service);
    }
    let (text, is_preauth) = match text.strip_suffix(b" [preauth]") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let text = severity(text, out);
    let _known = attempt(text, out)
        || refusal(text, out)
        || disconnect(text, is_preauth, out)
        || handshake(text, is_preauth, out)
        || information(text, out);
}

fn severity<'t>(text: &'t [u8], out: &mut Writer<'_>) -> &'t [u8] {
    for (start, level) in [(&b"error: "[..], Level::Error), (b"fatal: ", Level::Critical)] {
        if let Some(rest) = text.strip_prefix(start) {
            out.row.level = level;
            return rest;
        }
    }
    text
}

/// `invalid user bob` or `bob`: the name, and that there is no such account.
fn account(text: &[u8]) -> (&[u8], bool) {
    let unknown = [&b"invalid user "[..], b"illegal user "];
    match unknown.into_iter().find_map(|start| text.strip_prefix(start)) {
        Some(rest) => (rest, true),
        None => (text, false),
    }
}

fn method(name: &[u8]) -> AuthMethod {
    match name {
        b"password" => AuthMethod::Password,
        b"publickey" => AuthMethod::PublicKey,
        _ if name.starts_with(b"keyboard-interactive") => AuthMethod::Interactive,
        _ => AuthMethod::Other,
    }
}

/// Lines about one attempt to log in.
fn attempt(text: &[u8], out: &mut Writer<'_>) -> bool {
    if let Some(rest) = text.strip_prefix(b"Failed ") {
        return failed(rest, out);
    }
    if let Some(rest) = text.strip_prefix(b"Accepted ") {
        return accepted(rest, out);
    }
    for start in [&b"Postponed "[..], b"Partial "] {
        if let Some((_, rest)) = text.strip_prefix(start).and_then(|rest| cut(rest, b" for ")) {
            let (rest, _) = account(rest);
            return named(rest.strip_suffix(b" ssh2").unwrap_or(rest), out);
        }
    }
    for start in [&b"Invalid user "[..], b"Illegal user "] {
        if let Some(rest) = text.strip_prefix(start) {
            // `Failed` follows where a password or key was tried, and counts.
            Verdict::uncounted(Reason::UnknownUser, AuthMethod::Other).set(Action::Login, out);
            return named(rest, out);
        }
    }
    if let Some(rest) = text.strip_prefix(b"maximum authentication attempts exceeded for ") {
        let (rest, _) = account(rest);
        Verdict::uncounted(Reason::TooManyAttempts, AuthMethod::Other).set(Action::Login, out);
        return named(rest.strip_suffix(b" ssh2").unwrap_or(rest), out);
    }
    text.strip_prefix(b"PAM: ").is_some_and(|rest| pam(rest, out))
}

/// Reads `<user> from <address>[ port <n>]`, the whole of `text`.
fn named(text: &[u8], out: &mut Writer<'_>) -> bool {
    let Some((user, peer)) = Peer::from_end(text) else { return false };
    set_user(user, out);
    peer.set(out);
    true
}

/// `<method> for [invalid user ]<user> from <address> port <n> ssh2[: <key>]`.
fn failed(text: &[u8], out: &mut Writer<'_>) -> bool {
    let Some((name, rest)) = cut(text, b" for ") else { return false };
    if name.contains(&b' ') {
        return false;
    }
    let (rest, mut is_unknown) = account(rest);
    let Some((user, peer, is_sure)) = locate(rest) else { return false };
    let method = method(name);
    let is_key = method == AuthMethod::PublicKey || name == b"hostbased";
    if user == b"<invalid username>" {
        is_unknown = true;
    } else {
        set_user(user, out);
    }
    peer.set(out);
    if !is_sure {
        out.row.client_source = ClientSource::Ambiguous;
    }
    let reason = match name {
        _ if is_unknown => Reason::UnknownUser,
        _ if is_key => Reason::BadKey,
        b"password" => Reason::WrongPassword,
        _ if method == AuthMethod::Interactive => Reason::WrongPassword,
        _ => Reason::BadCredentials,
    };
    let mut verdict = Verdict::failure(reason, method);
    // A client asks with `none` what is on offer, and tries one key after the other.
    verdict.counted = name != b"none" && (is_unknown || method != AuthMethod::PublicKey);
    verdict.set(Action::Login, out);
    true
}

/// The user and the client of a `Failed` line, and whether no other reading is left.
fn locate(text: &[u8]) -> Option<(&[u8], Peer<'_>, bool)> {
    let whole = text.strip_suffix(b" ssh2").or_else(|| text.strip_suffix(b" ssh1"));
    if let Some((user, peer)) = whole.and_then(Peer::from_end) {
        return Some((user, peer, true));
    }
    // A key follows. Both the user before it and the name inside a certificate are text of the
    // client, so a second place makes the line uncertain, unless a bare key closes it: a
    // certificate would end in its authority.
    let mut places = Peer::places(text, true, b" ssh2: ");
    if let Some((user, peer, _)) = places.next() {
        return Some(match places.last() {
            None => (user, peer, true),
            Some((user, peer, key)) => {
                let is_bare_key = key.iter().filter(|byte| **byte == b' ').count() == 1;
                (user, peer, is_bare_key)
            }
        });
    }
    // Protocol 1 named the remote user behind the client.
    if let Some((user, peer, _)) = Peer::places(text, true, b" ssh1: ").next() {
        return Some((user, peer, true));
    }
    Peer::from_end(text).map(|(user, peer)| (user, peer, true))
}

/// `<method> for <user> from <address> port <n> ssh2[: <key>]`: the user is an account of the
/// system, so it holds no blanks.
fn accepted(text: &[u8], out: &mut Writer<'_>) -> bool {
    let Some((name, rest)) = cut(text, b" for ") else { return false };
    let Some((user, rest)) = cut(rest, b" from ") else { return false };
    let Some((peer, _)) = Peer::at_start(rest) else { return false };
    set_user(user, out);
    peer.set(out);
    Verdict::success(method(name)).set(Action::Login, out);
    true
}

/// `<reason> for [illegal user ]<user> from <host>[ via <address>]`; `Failed` follows and counts.
fn pam(text: &[u8], out: &mut Writer<'_>) -> bool {
    let Some((reason, rest)) = cut(text, b" for ") else { return false };
    let (mut rest, mut is_unknown) = account(rest);
    if let Some((before, via)) = cut_last(rest, b" via ")
        && !via.contains(&b' ')
    {
        rest = before;
    }
    is_unknown |= reason.starts_with(b"User not known");
    let reason = if is_unknown { Reason::UnknownUser } else { Reason::BadCredentials };
    Verdict::uncounted(reason, AuthMethod::Pam).set(Action::Login, out);
    named(rest, out)
}

/// Lines that say that an account or a client may not log in.
fn refusal(text: &[u8], out: &mut Writer<'_>) -> bool {
    if let Some(rest) = text.strip_prefix(b"User ")
        && let Some((who, why)) = cut_last(rest, b" not allowed because ")
    {
        let is_locked = contains(why, b"account is locked");
        let reason = if is_locked { Reason::AccountLocked } else { Reason::NotAllowed };
        // The daemon goes on to ask for a password and logs `Failed`.
        Verdict::uncounted(reason, AuthMethod::Other).set(Action::Login, out);
        if !named(who, out) {
            set_user(who, out);
        }
        return true;
    }
    if let Some(rest) = text.strip_prefix(b"ROOT LOGIN REFUSED FROM ") {
        out.set(Field::User, b"root");
        Verdict::uncounted(Reason::NotAllowed, AuthMethod::Other).set(Action::Login, out);
        return start(rest, out);
    }
    if text.starts_with(b"refused connect from ") {
        // The address in parentheses is the daemon's; the name before it is the client's.
        if let Some((_, address)) = text.strip_suffix(b")").and_then(|text| cut_last(text, b"(")) {
            Peer { address, port: b"" }.set(out);
        }
        preauth(Reason::Policy, out);
        return true;
    }
    if text.starts_with(b"drop connection ")
        && let Some((_, rest)) = cut(text, b" from ")
    {
        let end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
        Peer { address: split_port(&rest[..end]).0, port: b"" }.set(out);
        out.row.action = Action::RateLimited;
        return true;
    }
    false
}

fn preauth(reason: Reason, out: &mut Writer<'_>) {
    Verdict::uncounted(reason, AuthMethod::Other).set(Action::PreauthDisconnect, out);
}

/// Reads the client at the start of `text`.
fn start(text: &[u8], out: &mut Writer<'_>) -> bool {
    let Some((peer, _)) = Peer::at_start(text) else { return false };
    peer.set(out);
    true
}

/// Lines about the end of a connection.
fn disconnect(text: &[u8], is_preauth: bool, out: &mut Writer<'_>) -> bool {
    for begin in [&b"Connection closed by "[..], b"Connection reset by ", b"Disconnected from "] {
        if let Some(rest) = text.strip_prefix(begin) {
            return ended(rest, is_preauth, out);
        }
    }
    if let Some(rest) = text.strip_prefix(b"Received disconnect from ") {
        if is_preauth || contains(rest, b"Auth fail") {
            preauth(Reason::Unknown, out);
        }
        return start(rest, out);
    }
    let Some(rest) = text.strip_prefix(b"Disconnecting") else { return false };
    let is_too_many = contains(rest, b"Too many authentication failures");
    preauth(if is_too_many { Reason::TooManyAttempts } else { Reason::ProtocolError }, out);
    if let Some((_, user)) = cut(rest, b": Too many authentication failures for ") {
        set_user(user, out);
        return true;
    }
    before_reason(rest.trim_ascii_start(), out)
}

/// `[(invalid|authenticating) user <user> ]<address> port <n>`, the whole of `text`.
fn ended(text: &[u8], is_preauth: bool, out: &mut Writer<'_>) -> bool {
    if let Some((user, is_unknown)) = unfinished(text) {
        let Some((user, peer)) = Peer::at_end(user) else { return false };
        set_user(user, out);
        peer.set(out);
        // `Failed` lines of the same connection count.
        preauth(if is_unknown { Reason::UnknownUser } else { Reason::Unknown }, out);
        return true;
    }
    if let Some(rest) = text.strip_prefix(b"user ")
        && let Some((user, peer)) = Peer::at_end(rest)
    {
        set_user(user, out);
        peer.set(out);
        out.row.action = Action::SessionClosed;
        return true;
    }
    if is_preauth {
        preauth(Reason::Unknown, out);
    }
    start(text, out)
}

/// `invalid user <rest>` or `authenticating user <rest>`.
fn unfinished(text: &[u8]) -> Option<(&[u8], bool)> {
    let known = || Some((text.strip_prefix(b"authenticating user ")?, false));
    text.strip_prefix(b"invalid user ").map(|rest| (rest, true)).or_else(known)
}

/// `[(invalid|authenticating) user <user> ]<address> port <n>: <reason>`. Both user and reason
/// can hold text of the client.
fn before_reason(text: &[u8], out: &mut Writer<'_>) -> bool {
    let Some((rest, _)) = unfinished(text) else { return start(text, out) };
    let mut places = Peer::places(rest, false, b":");
    let Some((user, peer, _)) = places.next() else { return false };
    set_user(user, out);
    peer.set(out);
    if places.next().is_some() {
        out.row.client_source = ClientSource::Ambiguous;
    }
    true
}

/// Lines about clients that never came as far as a log-in: scanners, mostly.
fn handshake(text: &[u8], is_preauth: bool, out: &mut Writer<'_>) -> bool {
    const CLIENT_FIRST: [&[u8]; 7] = [
        b"Timeout before authentication for connection from ",
        b"Timeout before authentication for ",
        b"Did not receive identification string from ",
        b"Unable to negotiate with ",
        b"banner exchange: Connection from ",
        b"ssh_dispatch_run_fatal: Connection from ",
        b"Protocol major versions differ for ",
    ];
    const CLIENT_LAST: [&[u8]; 2] =
        [b"Bad protocol version identification ", b"Magic value check failed "];
    const NO_CLIENT: [&[u8]; 9] = [
        b"kex_exchange_identification: ",
        b"ssh_exchange_identification: ",
        b"kex_protocol_error: ",
        b"Unable to negotiate a key exchange",
        b"no matching ",
        b"Read from socket failed",
        b"Corrupted MAC on input",
        b"Bad packet length ",
        b"padding error",
    ];
    if let Some(rest) = CLIENT_FIRST.iter().find_map(|begin| text.strip_prefix(*begin)) {
        preauth(Reason::ProtocolError, out);
        return before_reason(rest, out);
    }
    if CLIENT_LAST.iter().any(|begin| text.starts_with(begin)) {
        preauth(Reason::ProtocolError, out);
        if let Some((_, peer)) = Peer::from_end(text) {
            peer.set(out);
        }
        return true;
    }
    let is_early = NO_CLIENT.iter().any(|begin| text.starts_with(begin));
    if is_early || (is_preauth && out.row.level == Level::Critical) {
        // Nobody is named and no log-in was tried: an end, but no failure of anyone.
        out.row.action = Action::PreauthDisconnect;
        return true;
    }
    false
}

/// Lines that say nothing about a log-in but name someone.
fn information(text: &[u8], out: &mut Writer<'_>) -> bool {
    const CLIENT_FIRST: [&[u8]; 3] =
        [b"Connection from ", b"Address ", b"Read error from remote host "];
    if let Some(user) = text.strip_prefix(b"input_userauth_request: invalid user ") {
        set_user(user, out);
        return true;
    }
    // Builds with the patch for long fat networks: what the client says of itself comes last.
    if let Some(rest) = text.strip_prefix(b"SSH: Server;Ltype: ")
        && let Some((kind, rest)) = cut(rest, b";Remote: ")
        && kind.iter().all(u8::is_ascii_alphanumeric)
        && let Some((address, port)) =
            cut(&rest[..memchr::memchr(b';', rest).unwrap_or(rest.len())], b"-")
    {
        Peer { address, port }.set(out);
        return true;
    }
    if let Some(rest) = CLIENT_FIRST.iter().find_map(|begin| text.strip_prefix(*begin)) {
        return start(rest, out);
    }
    if text.starts_with(b"reverse mapping checking ")
        && let Some((_, rest)) = cut_last(text, b" [")
        && let Some((address, _)) = cut(rest, b"]")
    {
        Peer { address, port: b"" }.set(out);
        return true;
    }
    let session = [(&b"Starting session: "[..], &b" for "[..]), (b"Close session: ", b"user ")];
    for (begin, before_user) in session {
        if let Some((what, rest)) = text.strip_prefix(begin).and_then(|rest| cut(rest, b" from "))
            && let Some((_, user)) = cut_last(what, before_user)
        {
            set_user(user, out);
            return start(rest, out);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::super::testing;

    #[track_caller]
    fn check(message: &str, expected: &[(&str, &str)]) {
        let line = format!("Nov 20 07:00:16 web1 sshd-session[911]: {message}");
        testing::check(super::super::parse, &line, expected);
    }

    /// User, client, reason and whether it counts.
    #[track_caller]
    fn check_failure(message: &str, user: &str, client: &str, reason: &str, counted: &str) {
        check(
            message,
            &[
                ("outcome", "failure"),
                ("user.name", user),
                ("client", client),
                ("reason", reason),
                ("counted", counted),
            ],
        );
    }

    #[test]
    fn a_guess_is_read_whole() {
        check(
            "Failed password for invalid user a from 6.6.6.6 port 1 ssh2 from 198.51.100.9 port 50022 ssh2",
            &[
                ("action", "login"),
                ("user.name", "a from 6.6.6.6 port 1 ssh2"),
                ("client", "198.51.100.9"),
                ("client_source", "peer"),
                ("source.port", "50022"),
                ("reason", "unknown_user"),
                ("method", "password"),
                ("confidence", "high"),
                ("counted", "true"),
                ("service.name", "sshd"),
                ("process.name", "sshd-session"),
            ],
        );
    }

    #[test]
    fn failed_lines_count_except_for_questions() {
        let ip = "198.51.100.9";
        for (message, reason, counted) in [
            ("Failed password for eve from 198.51.100.9 port 5 ssh2", "wrong_password", "true"),
            (
                "Failed keyboard-interactive/pam for eve from 198.51.100.9 port 5 ssh2",
                "wrong_password",
                "true",
            ),
            ("Failed none for eve from 198.51.100.9 port 5 ssh2", "bad_credentials", "false"),
            (
                "Failed publickey for eve from 198.51.100.9 port 5 ssh2: RSA SHA256:x",
                "bad_key",
                "false",
            ),
            (
                "Failed publickey for invalid user eve from 198.51.100.9 port 5 ssh2: RSA SHA256:x",
                "unknown_user",
                "true",
            ),
            (
                "Failed hostbased for eve from 198.51.100.9 port 5 ssh2: RSA SHA256:x, client user \"a b\", client host \"c\"",
                "bad_key",
                "true",
            ),
            (
                "Failed password for eve from 198.51.100.9 port 5 ssh1: ruser x from 192.0.2.1",
                "wrong_password",
                "true",
            ),
            ("Failed password for eve from 198.51.100.9", "wrong_password", "true"),
        ] {
            check_failure(message, "eve", ip, reason, counted);
        }
        check_failure(
            "Failed password for invalid user  from 198.51.100.9 port 5 ssh2",
            "-",
            ip,
            "unknown_user",
            "true",
        );
        check_failure(
            "[ID 800047 auth.info] Failed keyboard-interactive for <invalid username> from 198.51.100.9 port 5 ssh2",
            "-",
            ip,
            "unknown_user",
            "true",
        );
    }

    #[test]
    fn a_name_cannot_point_at_somebody_else() {
        let ip = "198.51.100.9";
        check_failure(
            "Failed publickey for invalid user a from 6.6.6.6 port 1 ssh2: RSA SHA256:x from 198.51.100.9 port 5 ssh2: RSA SHA256:y",
            "a from 6.6.6.6 port 1 ssh2: RSA SHA256:x",
            ip,
            "unknown_user",
            "true",
        );
        check(
            "Failed publickey for eve from 198.51.100.9 port 5 ssh2: RSA-CERT SHA256:y ID a from 6.6.6.6 port 1 ssh2: b (serial 0) CA RSA SHA256:z",
            &[("client_source", "ambiguous")],
        );
        check_failure(
            "Invalid user a from 6.6.6.6 port 1 from 198.51.100.9 port 5",
            "a from 6.6.6.6 port 1",
            ip,
            "unknown_user",
            "false",
        );
        check_failure(
            "Connection closed by invalid user a 6.6.6.6 port 1 198.51.100.9 port 5 [preauth]",
            "a 6.6.6.6 port 1",
            ip,
            "unknown_user",
            "false",
        );
        check(
            "Disconnecting invalid user a 198.51.100.9 port 5: Change of username or service not allowed: (a 6.6.6.6 port 1: ,ssh-connection) [preauth]",
            &[("client_source", "ambiguous")],
        );
        check_failure(
            "Bad protocol version identification 'x' from 6.6.6.6 port 1' from 198.51.100.9 port 5",
            "-",
            ip,
            "protocol_error",
            "false",
        );
    }

    #[test]
    fn a_log_in_names_its_method() {
        check(
            "Accepted publickey for alice from 2001:db8::9 port 50023 ssh2: ED25519 SHA256:AAAA",
            &[
                ("outcome", "success"),
                ("user.name", "alice"),
                ("client", "2001:db8::9"),
                ("source.port", "50023"),
                ("method", "publickey"),
                ("action", "login"),
                ("reason", "-"),
                ("counted", "false"),
            ],
        );
    }

    #[test]
    fn lines_around_a_guess_do_not_count_again() {
        let ip = "198.51.100.9";
        for (message, reason) in [
            ("Invalid user eve from 198.51.100.9 port 5", "unknown_user"),
            ("Invalid user eve from 198.51.100.9", "unknown_user"),
            (
                "error: maximum authentication attempts exceeded for eve from 198.51.100.9 port 5 ssh2 [preauth]",
                "too_many_attempts",
            ),
            (
                "error: PAM: Authentication failure for eve from 198.51.100.9 via 192.0.2.1",
                "bad_credentials",
            ),
            (
                "error: PAM: User not known to the underlying authentication module for illegal user eve from 198.51.100.9",
                "unknown_user",
            ),
            (
                "User eve from 198.51.100.9 not allowed because not listed in AllowUsers",
                "not_allowed",
            ),
            (
                "Connection closed by authenticating user eve 198.51.100.9 port 5 [preauth]",
                "unknown",
            ),
            ("Disconnected from invalid user eve 198.51.100.9 port 5 [preauth]", "unknown_user"),
            (
                "Disconnecting authenticating user eve 198.51.100.9 port 5: Too many authentication failures [preauth]",
                "too_many_attempts",
            ),
        ] {
            check_failure(message, "eve", ip, reason, "false");
        }
        check_failure(
            "User eve not allowed because account is locked",
            "eve",
            "-",
            "account_locked",
            "false",
        );
        check_failure(
            "ROOT LOGIN REFUSED FROM 198.51.100.9 port 5",
            "root",
            ip,
            "not_allowed",
            "false",
        );
    }

    #[test]
    fn scanners_are_seen_and_not_counted() {
        for message in [
            "Did not receive identification string from 198.51.100.9 port 5",
            "banner exchange: Connection from 198.51.100.9 port 5: invalid format",
            "ssh_dispatch_run_fatal: Connection from 198.51.100.9 port 5: Connection corrupted [preauth]",
            "Unable to negotiate with 198.51.100.9 port 5: no matching MAC found. Their offer: x [preauth]",
            "fatal: Timeout before authentication for 198.51.100.9 port 5",
            "Timeout before authentication for connection from 198.51.100.9 to 192.0.2.1, pid = 9",
        ] {
            check_failure(message, "-", "198.51.100.9", "protocol_error", "false");
            check(message, &[("action", "preauth_disconnect")]);
        }
        check(
            "error: kex_exchange_identification: Connection closed by remote host",
            &[("action", "preauth_disconnect"), ("outcome", "-"), ("level", "error")],
        );
        check_failure(
            "refused connect from x (::ffff:198.51.100.9)",
            "-",
            "198.51.100.9",
            "policy",
            "false",
        );
        check(
            "drop connection #10 from [198.51.100.9]:5 on [192.0.2.1]:22 past MaxStartups",
            &[("action", "rate_limited"), ("client", "198.51.100.9"), ("outcome", "-")],
        );
    }

    #[test]
    fn patched_builds_name_the_client_before_its_own_words() {
        check(
            "SSH: Server;Ltype: Version;Remote: 198.51.100.9-50022;Protocol: 2.0;Client: x;Remote: 192.0.2.1-5",
            &[("client", "198.51.100.9"), ("source.port", "50022"), ("outcome", "-")],
        );
        check("SSH: Server;Ltype: a b;Remote: 198.51.100.9-50022", &[("client", "-")]);
    }

    #[test]
    fn the_end_of_a_session_is_no_failure() {
        for message in [
            "Received disconnect from 198.51.100.9 port 5:11: disconnected by user",
            "Connection closed by 198.51.100.9 port 5",
            "Connection from 198.51.100.9 port 5 on 192.0.2.1 port 22",
        ] {
            check(
                message,
                &[("outcome", "-"), ("client", "198.51.100.9"), ("action", "auth_info")],
            );
        }
        for message in [
            "Starting session: shell on pts/0 for alice from 198.51.100.9 port 5 id 0",
            "Close session: user alice from 198.51.100.9 port 5 id 0",
        ] {
            check(message, &[("outcome", "-"), ("client", "198.51.100.9"), ("user.name", "alice")]);
        }
        check(
            "Disconnected from user alice 198.51.100.9 port 5",
            &[("action", "session_closed"), ("user.name", "alice"), ("outcome", "-")],
        );
        check(
            "Received disconnect from 2001:db8::9: 11: Bye [preauth]",
            &[("action", "preauth_disconnect"), ("client", "2001:db8::9")],
        );
    }
}
