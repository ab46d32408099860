//! What known daemons and applications write about log-ins: one row for each wording.
//!
//! Rows are only for programs whose wording we know, so that name and client are anchored on what
//! the program itself writes; [`super::phrases`] reads the rest as well as it can be read.

use super::grammar::{Part, Reading, parts, read};
use super::peer::Peer;
use super::{Verdict, set_user};
use crate::engine::batch::{Action, AuthMethod, ClientSource, Confidence, Field, Reason, Writer};

/// One wording.
struct Shape {
    /// What the names of the programs begin with, in any case.
    programs: &'static [&'static str],
    action: Action,
    verdict: Verdict,
    parts: &'static [Part],
}

const fn says(
    programs: &'static [&'static str],
    verdict: Verdict,
    parts: &'static [Part],
) -> Shape {
    Shape { programs, action: Action::Login, verdict, parts }
}

const fn tells(
    programs: &'static [&'static str],
    action: Action,
    verdict: Verdict,
    parts: &'static [Part],
) -> Shape {
    Shape { programs, action, verdict, parts }
}

// A password typed to a daemon, or into a page.
const WELCOME: Verdict = Verdict::success(AuthMethod::Password);
const WRONG: Verdict = Verdict::failure(Reason::WrongPassword, AuthMethod::Password);
const BAD: Verdict = Verdict::failure(Reason::BadCredentials, AuthMethod::Password);
const UNKNOWN: Verdict = Verdict::failure(Reason::UnknownUser, AuthMethod::Password);
const NOT_ALLOWED: Verdict = Verdict::failure(Reason::NotAllowed, AuthMethod::Password);
const LOCKED: Verdict = Verdict::uncounted(Reason::AccountLocked, AuthMethod::Password);
const TOO_MANY: Verdict = Verdict::uncounted(Reason::TooManyAttempts, AuthMethod::Password);
const REPEATED: Verdict = Verdict::uncounted(Reason::BadCredentials, AuthMethod::Password);
const PROBE: Verdict = Verdict::uncounted(Reason::Policy, AuthMethod::Other);
const KEY: Verdict = Verdict::success(AuthMethod::PublicKey);
const FORM_WELCOME: Verdict = Verdict::success(AuthMethod::Form);
const FORM_WRONG: Verdict = Verdict::failure(Reason::WrongPassword, AuthMethod::Form);
const FORM_BAD: Verdict = Verdict::failure(Reason::BadCredentials, AuthMethod::Form);
const FORM_UNKNOWN: Verdict = Verdict::failure(Reason::UnknownUser, AuthMethod::Form);
const FORM_REFUSED: Verdict = Verdict::failure(Reason::Policy, AuthMethod::Form);
const PAM_REPEATED: Verdict = Verdict::uncounted(Reason::BadCredentials, AuthMethod::Pam);

const BLOG: &[&str] = &["wordpress"];
const DROPBEAR: &[&str] = &["dropbear"];
const EXIM: &[&str] = &["exim"];
const COURIER: &[&str] = &["courier", "imapd", "pop3d", "esmtpd"];
const CYRUS: &[&str] = &["cyrus", "imap", "pop3", "lmtp", "sieve", "timsieved", "nntp"];
const SENDMAIL: &[&str] = &["sendmail", "sm-mta", "sm-msp", "sm-accepting"];
const PROFTPD: &[&str] = &["proftpd"];
const PUREFTPD: &[&str] = &["pure-ftpd"];
const VSFTPD: &[&str] = &["vsftpd"];
const OPENVPN: &[&str] = &["openvpn", "ovpn"];
const IKE: &[&str] = &["charon", "ipsec", "pluto", "strongswan"];
const SAMBA: &[&str] = &["smbd", "samba"];
const MYSQL: &[&str] = &["mysql", "mariadb"];
const POSTGRES: &[&str] = &["postgres"];
const ASTERISK: &[&str] = &["asterisk"];
const FREESWITCH: &[&str] = &["freeswitch"];
const WEBMIN: &[&str] = &["webmin", "usermin", "virtualmin", "miniserv"];
const CPANEL: &[&str] = &["cpaneld", "whostmgrd", "webmaild", "cpdavd"];
const PROXMOX: &[&str] = &["pvedaemon", "pveproxy", "proxmox", "pmgdaemon", "pmgproxy"];
const ROUTEROS: &[&str] = &["system,", "mikrotik"];
const CISCO: &[&str] = &["%", "asa", "cisco"];
const WINDOWS: &[&str] = &["microsoft-windows-security", "mswineventlog", "security", "winevt"];
const LOGIN: &[&str] = &["login"];
const POLKIT: &[&str] = &["polkit"];

/// All wordings; the first that fits the whole message is taken.
#[rustfmt::skip]
const SHAPES: &[Shape] = &[
    says(BLOG, FORM_WELCOME, parts!("Accepted password for " user " from " client)),
    says(BLOG, FORM_WRONG, parts!("Authentication failure for " user " from " client)),
    says(BLOG, FORM_UNKNOWN, parts!("Authentication attempt for unknown user " user " from " client)),
    says(BLOG, FORM_WRONG, parts!("XML-RPC authentication failure for " user " from " client)),
    says(BLOG, FORM_UNKNOWN, parts!("XML-RPC authentication attempt for unknown user " user " from " client)),
    says(BLOG, FORM_BAD, parts!("XML-RPC multicall authentication failure from " client)),
    says(BLOG, FORM_BAD, parts!("REST authentication failure for " user " from " client)),
    says(BLOG, FORM_UNKNOWN, parts!("REST authentication attempt for unknown user " user " from " client)),
    says(BLOG, FORM_UNKNOWN, parts!("Empty username from " client)),
    says(BLOG, FORM_REFUSED, parts!("Blocked authentication attempt for " user " from " client)),
    tells(BLOG, Action::AccessDenied, PROBE, parts!("Blocked user enumeration attempt from " client)),
    says(&["drupal"], FORM_BAD, parts!(own "|user|" client "|" free "|Login attempt failed for " user ".")),
    says(&["drupal"], FORM_BAD, parts!(own "|user|" client "|" free "|Login attempt failed from " user ".")),
    says(&["drupal"], FORM_WELCOME, parts!(own "|user|" client "|" free "|Session opened for " user ".")),
    says(&["phpmyadmin"], FORM_BAD, parts!("user denied: " user " (" word ") from " client)),
    says(&["phpmyadmin"], FORM_WELCOME, parts!("user authenticated: " user " from " client)),
    says(&["horde"], FORM_BAD, parts!(own "FAILED LOGIN for " user " [" client "] to " own)),
    says(&["horde"], FORM_BAD, parts!(own "FAILED LOGIN for " user " (" client ") to " own)),
    says(&["horde"], FORM_WELCOME, parts!(own "Login success for " user " [" client "] to " own)),
    says(&["squirrelmail"], FORM_BAD, parts!(own "Failed webmail login: by " user " at " client " on " own)),
    says(&["squirrelmail"], FORM_BAD, parts!(own "[LOGIN_ERROR] " user " (" word ") from " client ": " own)),
    says(&["squirrelmail"], FORM_WELCOME, parts!(own "[LOGIN] " user " (" word ") from " client)),
    says(&["nextcloud", "owncloud"], FORM_BAD, parts!("Login failed: '" user "' (Remote IP: '" client "')")),
    says(&["nextcloud", "owncloud"], FORM_BAD, parts!("Login failed: " user " (Remote IP: " client ")")),
    says(&["gitea", "forgejo", "gogs"], FORM_BAD, parts!(own "Failed authentication attempt for " user " from " client)),
    says(&["gitea", "forgejo", "gogs"], FORM_BAD, parts!(own "Failed authentication attempt for " user " from " client ": " own)),

    says(DROPBEAR, WRONG, parts!("Bad password attempt for '" user "' from " client)),
    says(DROPBEAR, WRONG, parts!("Bad PAM password attempt for '" user "' from " client)),
    says(DROPBEAR, UNKNOWN, parts!("Login attempt for nonexistent user from " client)),
    says(DROPBEAR, UNKNOWN, parts!("Login attempt for nonexistent user '" user "' from " client)),
    says(DROPBEAR, UNKNOWN, parts!("Login attempt with wrong user " user " from " client)),
    says(DROPBEAR, WELCOME, parts!("Password auth succeeded for '" user "' from " client)),
    says(DROPBEAR, WELCOME, parts!("PAM password auth succeeded for '" user "' from " client)),
    says(DROPBEAR, KEY, parts!("Pubkey auth succeeded for '" user "' with " own " from " client)),
    says(DROPBEAR, LOCKED, parts!("User account '" user "' is locked")),
    tells(DROPBEAR, Action::PreauthDisconnect, REPEATED, parts!("Exit before auth from <" client ">: (user '" user "', " number " fails): " own)),

    says(EXIM, BAD, parts!(word " authenticator failed for " free " " client ": 535 Incorrect authentication data (set_id=" user ")")),
    says(EXIM, BAD, parts!(word " authenticator failed for " free " " client ": 535 Incorrect authentication data")),
    says(EXIM, BAD, parts!(word " authenticator failed for " client ": 535 Incorrect authentication data (set_id=" user ")")),
    says(EXIM, BAD, parts!(word " authenticator failed for " client ": 535 Incorrect authentication data")),
    says(EXIM, BAD, parts!(word " authenticator failed for " free " " client " I=[" own "]:" number ": 535 Incorrect authentication data (set_id=" user ")")),
    says(EXIM, BAD, parts!(word " authenticator failed for " free " " client " I=[" own "]:" number ": 535 Incorrect authentication data")),
    says(COURIER, BAD, parts!("LOGIN FAILED, user=" user ", ip=[" client "]" own)),
    says(COURIER, BAD, parts!("LOGIN FAILED, method=" word ", ip=[" client "]" own)),
    says(COURIER, WELCOME, parts!("LOGIN, user=" user ", ip=[" client "]" own)),
    says(COURIER, BAD, parts!("error,relay=" client ",msg=\"535 Authentication failed.\",cmd: " free)),
    says(COURIER, BAD, parts!("error,relay=" client ",port=" number ",msg=\"535 Authentication failed.\",cmd: " free)),
    says(CYRUS, BAD, parts!("badlogin: " own "[" client "] " word " [SASL(" own)),
    says(CYRUS, BAD, parts!("badlogin: " own "[" client "] " word " " user " [SASL(" own)),
    says(CYRUS, BAD, parts!("badlogin: " own "[" client "] " word " " user " SASL(" own)),
    says(CYRUS, BAD, parts!("badlogin: " own "[" client "] " word " " user " " own "login failed")),
    says(CYRUS, WELCOME, parts!("login: " own "[" client "] " user " " word " User logged in" own)),
    says(CYRUS, WELCOME, parts!("login: " own "[" client "] " user " " word " " word " User logged in" own)),
    says(SENDMAIL, BAD, parts!(own "AUTH failure (" own ", user=" user ", relay=" own "[" client "]" own)),
    says(SENDMAIL, BAD, parts!(own "AUTH failure (" own ", relay=" own "[" client "]" own)),
    says(SENDMAIL, TOO_MANY, parts!(own "[" client "]: possible SMTP attack: command=AUTH, count=" number)),
    says(SENDMAIL, TOO_MANY, parts!(own "[" client "] (may be forged): possible SMTP attack: command=AUTH, count=" number)),
    says(SENDMAIL, WELCOME, parts!("AUTH=server, relay=" own "[" client "], authid=" user ", mech=" own)),
    says(SENDMAIL, WELCOME, parts!(own ": AUTH=server, relay=" own "[" client "], authid=" user ", mech=" own)),

    says(PROFTPD, WRONG, parts!(own "[" client "]) - USER " user " (Login failed): " own)),
    says(PROFTPD, WRONG, parts!(own "[" client "]): USER " user " (Login failed): " own)),
    says(PROFTPD, UNKNOWN, parts!(own "[" client "]) - USER " user ": no such user found" own)),
    says(PROFTPD, UNKNOWN, parts!(own "[" client "]): USER " user ": no such user found" own)),
    says(PROFTPD, WELCOME, parts!(own "[" client "]) - USER " user ": Login successful" own)),
    says(PROFTPD, WELCOME, parts!(own "[" client "]): USER " user ": Login successful" own)),
    says(PROFTPD, WELCOME, parts!(own "[" client "]) - ANON " user ": Login successful" own)),
    says(PROFTPD, NOT_ALLOWED, parts!(own "[" client "]) - SECURITY VIOLATION: " word " login attempted" own)),
    says(PROFTPD, NOT_ALLOWED, parts!(own "[" client "]): SECURITY VIOLATION: " word " login attempted" own)),
    says(PROFTPD, TOO_MANY, parts!(own "[" client "]) - Maximum login attempts (" number ") exceeded" own)),
    says(PROFTPD, TOO_MANY, parts!(own "[" client "]): Maximum login attempts (" number ") exceeded" own)),
    says(PUREFTPD, BAD, parts!("(" word "@" host ") [WARNING] Authentication failed for user [" user "]")),
    says(PUREFTPD, WELCOME, parts!("(" word "@" host ") [INFO] " user " is now logged in")),
    says(VSFTPD, BAD, parts!("[pid " number "] [" user "] FAIL LOGIN: Client \"" client "\"" free)),
    says(VSFTPD, BAD, parts!("[" user "] FAIL LOGIN: Client \"" client "\"" free)),
    says(VSFTPD, WELCOME, parts!("[pid " number "] [" user "] OK LOGIN: Client \"" client "\"" free)),
    says(VSFTPD, WELCOME, parts!("[" user "] OK LOGIN: Client \"" client "\"" free)),
    says(VSFTPD, REPEATED, parts!("[pid " number "] [" user "] FTP response: Client \"" client "\", \"530 " own)),
    says(&["wu-ftpd", "ftpd"], BAD, parts!("failed login from " word " [" client "]")),
    says(&["wu-ftpd", "ftpd"], BAD, parts!("failed login from " word " [" client "], " user)),
    says(&["ftpd"], TOO_MANY, parts!("repeated login failures from " client own)),

    says(OPENVPN, BAD, parts!(client " TLS Auth Error: Auth Username/Password verification failed for peer" own)),
    says(OPENVPN, BAD, parts!(word "/" client " TLS Auth Error: Auth Username/Password verification failed for peer" own)),
    says(OPENVPN, WELCOME, parts!(client " TLS: Username/Password authentication succeeded for username '" user "'" own)),
    says(OPENVPN, WELCOME, parts!(word "/" client " TLS: Username/Password authentication succeeded for username '" user "'" own)),
    says(OPENVPN, Verdict::success(AuthMethod::Other), parts!(client " [" user "] Peer Connection Initiated with " own)),
    tells(OPENVPN, Action::PreauthDisconnect, Verdict::uncounted(Reason::ProtocolError, AuthMethod::Other), parts!(client " TLS Error: " own)),
    tells(OPENVPN, Action::PreauthDisconnect, Verdict::uncounted(Reason::BadKey, AuthMethod::Other), parts!(client " VERIFY ERROR: " own)),
    says(IKE, BAD, parts!(own "XAuth authentication of '" user "' failed" own)),
    says(IKE, WELCOME, parts!(own "XAuth authentication of '" user "' successful" own)),
    says(IKE, BAD, parts!(own "EAP method " word " failed for peer " user)),
    says(IKE, WELCOME, parts!(own "authentication of '" user "' with " own " successful")),
    says(&["xrdp"], BAD, parts!(own "AUTHFAIL: user=" user " ip=" client " time=" number)),

    says(SAMBA, WELCOME, parts!(own "Auth: [" own "] user [" own "]\\[" user "] at [" own "] with [" own "] status [NT_STATUS_OK] workstation [" free "] remote host [" client "]" free)),
    says(SAMBA, UNKNOWN, parts!(own "Auth: [" own "] user [" own "]\\[" user "] at [" own "] with [" own "] status [NT_STATUS_NO_SUCH_USER] workstation [" free "] remote host [" client "]" free)),
    says(SAMBA, WRONG, parts!(own "Auth: [" own "] user [" own "]\\[" user "] at [" own "] with [" own "] status [NT_STATUS_WRONG_PASSWORD] workstation [" free "] remote host [" client "]" free)),
    says(SAMBA, LOCKED, parts!(own "Auth: [" own "] user [" own "]\\[" user "] at [" own "] with [" own "] status [NT_STATUS_ACCOUNT_LOCKED_OUT] workstation [" free "] remote host [" client "]" free)),
    says(SAMBA, BAD, parts!(own "Auth: [" own "] user [" own "]\\[" user "] at [" own "] with [" own "] status [NT_STATUS_" word "] workstation [" free "] remote host [" client "]" free)),
    says(SAMBA, BAD, parts!(own "Authentication for user [" user "] -> [" free "] FAILED with error NT_STATUS_" word)),
    says(&["slapd"], BAD, parts!("conn=" number " op=" number " RESULT tag=97 err=49 " own)),
    says(MYSQL, BAD, parts!(own "Access denied for user '" user "'@'" host "' (using password: " word ")")),
    says(MYSQL, BAD, parts!(own "Access denied for user '" user "'@'" host "'")),
    tells(MYSQL, Action::AccessDenied, PROBE, parts!(own "Host '" client "' is not allowed to connect to this " own " server")),
    tells(MYSQL, Action::AccessDenied, PROBE, parts!(own "Host '" client "' is blocked because of many connection errors" own)),
    says(POSTGRES, WRONG, parts!(own "password authentication failed for user \"" user "\"")),
    says(POSTGRES, BAD, parts!(own "authentication failed for user \"" user "\"")),
    says(POSTGRES, UNKNOWN, parts!(own "role \"" user "\" does not exist")),
    says(POSTGRES, NOT_ALLOWED, parts!(own "no pg_hba.conf entry for host \"" client "\", user \"" user "\", database \"" free)),

    says(ASTERISK, BAD, parts!(own "Registration from '" user "' failed for '" client "' - " own)),
    says(ASTERISK, BAD, parts!(own "Request from '" user "' failed for '" client "' (callid: " free ") - " own)),
    says(ASTERISK, BAD, parts!(own "Request '" word "' from '" user "' failed for '" client "' (callid: " free ") - " own)),
    says(ASTERISK, WRONG, parts!(own "Host " client " failed to authenticate as '" user "'")),
    says(ASTERISK, WRONG, parts!(own "Host " client " failed MD5 authentication for '" user "' (" own)),
    says(ASTERISK, WRONG, parts!(own " " client " failed to authenticate as '" user "'")),
    says(ASTERISK, WRONG, parts!(client " failed to authenticate as '" user "'")),
    says(ASTERISK, UNKNOWN, parts!(client " tried to authenticate with nonexistent user '" user "'")),
    says(ASTERISK, UNKNOWN, parts!(own " " client " tried to authenticate with nonexistent user '" user "'")),
    says(ASTERISK, UNKNOWN, parts!(own "No registration for peer '" user "' (from " client ")")),
    tells(ASTERISK, Action::AccessDenied, PROBE, parts!(own "Call from '" user "' (" client ") to extension '" free "' rejected because " own)),
    tells(ASTERISK, Action::AccessDenied, PROBE, parts!(own "Call from '" user "' (TCP:" client ") to extension '" free "' rejected because " own)),
    tells(ASTERISK, Action::AccessDenied, PROBE, parts!(own "Call from '" user "' (UDP:" client ") to extension '" free "' rejected because " own)),
    tells(ASTERISK, Action::AccessDenied, PROBE, parts!(own "Call (UDP:" client ") to extension '" free "' rejected because " own)),
    tells(ASTERISK, Action::AccessDenied, PROBE, parts!(own "\"Rejecting unknown SIP connection from " client "\"")),
    says(ASTERISK, WRONG, parts!(own "SecurityEvent=\"InvalidPassword\"" own "AccountID=\"" user "\",SessionID=\"" free ",RemoteAddress=\"" client "\"" own)),
    says(ASTERISK, UNKNOWN, parts!(own "SecurityEvent=\"InvalidAccountID\"" own "AccountID=\"" user "\",SessionID=\"" free ",RemoteAddress=\"" client "\"" own)),
    says(ASTERISK, WRONG, parts!(own "SecurityEvent=\"ChallengeResponseFailed\"" own "AccountID=\"" user "\",SessionID=\"" free ",RemoteAddress=\"" client "\"" own)),
    says(ASTERISK, NOT_ALLOWED, parts!(own "SecurityEvent=\"FailedACL\"" own "AccountID=\"" user "\",SessionID=\"" free ",RemoteAddress=\"" client "\"" own)),
    says(ASTERISK, WELCOME, parts!(own "SecurityEvent=\"SuccessfulAuth\"" own "AccountID=\"" user "\",SessionID=\"" free ",RemoteAddress=\"" client "\"" own)),
    says(FREESWITCH, BAD, parts!(own "SIP auth failure (" word ") on sofia profile '" own "' for [" user "] from ip " client)),
    says(FREESWITCH, UNKNOWN, parts!(own "Can't find user [" user "] from " client)),

    says(WEBMIN, WRONG, parts!("Invalid login as " user " from " client)),
    says(WEBMIN, UNKNOWN, parts!("Non-existent login as " user " from " client)),
    says(WEBMIN, WELCOME, parts!("Successful login as " user " from " client)),
    says(WEBMIN, WRONG, parts!(user " - " client " global " word " \"failed\" \"-\" \"wrongpass\"")),
    says(WEBMIN, UNKNOWN, parts!(user " - " client " global " word " \"failed\" \"-\" \"nouser\"")),
    says(WEBMIN, BAD, parts!(user " - " client " global " word " \"failed\" \"-\" \"" word "\"")),
    says(CPANEL, BAD, parts!(client " - " user " \"" free "\" FAILED LOGIN " own)),
    says(PROXMOX, BAD, parts!("authentication failure; rhost=" client " user=" user " msg=" own)),
    says(PROXMOX, WELCOME, parts!("successful auth for user '" user "'")),
    says(ROUTEROS, BAD, parts!(own "login failure for user " user " from " client " via " word)),
    says(ROUTEROS, WELCOME, parts!(own " user " user " logged in from " client " via " word)),
    says(CISCO, WRONG, parts!(own "AAA user authentication Rejected : reason = Invalid password : " own "user = " user " : user IP = " client)),
    says(CISCO, BAD, parts!(own "AAA user authentication Rejected : " own "user = " user " : user IP = " client)),
    says(CISCO, BAD, parts!(own "Login denied from " client " to " own " for user \"" user "\"")),
    says(CISCO, WELCOME, parts!(own "Login permitted from " client " to " own " for user \"" user "\"")),
    says(CISCO, BAD, parts!(own "Group <" own "> User <" user "> IP <" client "> Authentication: rejected, " own)),
    says(CISCO, WELCOME, parts!(own "Group <" own "> User <" user "> IP <" client "> Authentication: successful, " own)),
    says(CISCO, BAD, parts!(own "Login failed [user: " user "] [Source: " client "] [localport: " number "] [Reason: " own)),
    says(CISCO, WELCOME, parts!(own "Login Success [user: " user "] [Source: " client "] [localport: " number "]" own)),

    says(WINDOWS, BAD, parts!(own "An account failed to log on." own "Account For Which Logon Failed:" own "Account Name:" user "Account Domain:" free "Source Network Address:" client own "Source Port:" own)),
    says(WINDOWS, BAD, parts!(own "An account failed to log on." own "Account For Which Logon Failed:" own "Account Name:" user "Account Domain:" own)),
    says(WINDOWS, WELCOME, parts!(own "An account was successfully logged on." own "New Logon:" own "Account Name:" user "Account Domain:" free "Source Network Address:" client own "Source Port:" own)),
    says(WINDOWS, WRONG, parts!(own "Kerberos pre-authentication failed." own "Account Name:" user "Service Name:" own "Client Address:" client own)),

    says(LOGIN, PAM_REPEATED, parts!("FAILED LOGIN " own " FROM " host " FOR " user ", " own)),
    says(LOGIN, PAM_REPEATED, parts!("FAILED LOGIN " own " FOR '" user "', " own)),
    tells(POLKIT, Action::PrivilegeElevation, PAM_REPEATED, parts!(own "FAILED to authenticate to gain authorization for action " own)),
    tells(POLKIT, Action::PrivilegeElevation, Verdict::success(AuthMethod::Pam), parts!(own "successfully authenticated as unix-user:" user " to gain " own)),
];

/// Reads one message by the rows of its program.
pub(super) fn parse(program: &[u8], text: &[u8], out: &mut Writer<'_>) -> bool {
    let mut rows = SHAPES.iter().filter(|shape| is_of(shape.programs, program));
    let found = rows.find_map(|shape| Some((shape, read(shape.parts, text)?)));
    let Some((shape, reading)) = found else { return false };
    set(shape, reading, Confidence::High, out);
    if !out.has(Field::Service) {
        out.set(Field::Service, program);
    }
    true
}

/// Reads a message of a program that is not named. What programs put before their messages must
/// have been taken off: nothing vouches for it that it is not text of the client.
pub(super) fn parse_unnamed(text: &[u8], out: &mut Writer<'_>) -> bool {
    let found = SHAPES.iter().find_map(|shape| {
        let parts = shape.parts.strip_prefix(&[Part::Own]).unwrap_or(shape.parts);
        Some((shape, read(parts, text)?))
    });
    let Some((shape, reading)) = found else { return false };
    set(shape, reading, Confidence::Medium, out);
    true
}

fn set(shape: &Shape, reading: Reading<'_>, confidence: Confidence, out: &mut Writer<'_>) {
    if let Some(user) = reading.user {
        set_user(plain_name(user), out);
    }
    if let Some(client) = reading.client {
        Peer { address: client.text, port: client.port }.set(out);
    }
    if !reading.is_sure {
        out.row.client_source = ClientSource::Ambiguous;
    }
    shape.verdict.set(shape.action, out);
    if let Some(auth) = &mut out.row.auth {
        auth.confidence = confidence;
    }
}

fn is_of(programs: &[&str], program: &[u8]) -> bool {
    programs.iter().any(|name| {
        program.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
    })
}

/// The name without the coat that telephony puts on: `"Bob" <sip:bob@example.org>`.
fn plain_name(user: &[u8]) -> &[u8] {
    let user = user.trim_ascii();
    let Some((_, address)) = super::cut(user, b"sip:") else { return user };
    let end = address.iter().position(|byte| matches!(byte, b'@' | b'>' | b':'));
    &address[..end.unwrap_or(address.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_anchors_its_slots() {
        for shape in SHAPES {
            for pair in shape.parts.windows(2) {
                let is_text = |part: &Part| matches!(part, Part::Text(_));
                let ends_in_client = matches!(pair[0], Part::Client | Part::Host);
                assert!(
                    is_text(&pair[0]) || is_text(&pair[1]) || ends_in_client,
                    "two slots side by side: {:?}",
                    shape.parts
                );
            }
            let clients =
                shape.parts.iter().filter(|part| **part == Part::Client || **part == Part::Host);
            assert!(clients.count() <= 1, "{:?}", shape.parts);
        }
    }
}
