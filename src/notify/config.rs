//! Settings of the alert mails: the `[mail]` table.
//!
//! [`MailConfig::check`] reports every problem at once; nothing here touches the network.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::tz::TimeZone;
use lettre::message::Mailbox;
use serde::Deserialize;

use super::error::MailError;
use crate::engine::detect::Severity;
use crate::units::Period;

const DAY: Period = Period::from_secs(86_400);

/// `[mail]`: who is told about alerts, and how the mail leaves.
///
/// The first line of each field comment becomes its line in the reference manual.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct MailConfig {
    /// Mail server, as `smtps://user@host:465` or `smtp+starttls://user@host:587`.
    ///
    /// `smtps` speaks TLS from the first byte; `smtp+starttls` refuses to go on without TLS.
    /// `smtp://127.0.0.1:25` is not encrypted and allowed for this machine only.
    pub smtp: Option<String>,

    /// File with the password of the SMTP user.
    ///
    /// Without it the systemd credential `smtp-password` is used where there is one.
    pub password_file: Option<PathBuf>,

    /// Sender, as `gatewatch <alerts@example.org>`.
    pub from: String,

    /// Recipients of the alert mails.
    pub to: Vec<String>,

    /// Directory that takes the mails as `.eml` files instead of a mail server.
    pub directory: Option<PathBuf>,

    /// PEM file of a certificate authority to trust besides those of the system.
    pub ca_file: Option<PathBuf>,

    /// Least severity that is mailed: `info`, `low`, `medium`, `high` or `critical`.
    pub min_severity: Severity,

    /// Alert mails in an hour before the rest is told in one mail.
    ///
    /// That one mail, and four an hour for critical alerts, come on top.
    pub max_per_hour: u32,

    /// Alert mails in a day before the rest is told in one mail an hour.
    pub max_per_day: u32,

    /// How long an alert of medium severity waits when another one was mailed: all that come
    /// meanwhile are told in one mail.
    ///
    /// The first one after a quiet time is mailed at once. `0s` mails each.
    pub bundle: Period,

    /// Time zone of the times in mails, such as `Europe/Paris`.
    ///
    /// The default is the zone of this machine.
    pub timezone: Option<String>,

    /// Name of the organisation, shown at the foot of each mail.
    pub organisation: Option<String>,

    /// How long an alert waits for a mail server that does not take it.
    pub retry_for: Period,
}

impl Default for MailConfig {
    fn default() -> Self {
        Self {
            smtp: None,
            password_file: None,
            from: String::new(),
            to: Vec::new(),
            directory: None,
            ca_file: None,
            min_severity: Severity::Medium,
            max_per_hour: 12,
            max_per_day: 40,
            bundle: Period::from_secs(3600),
            timezone: None,
            organisation: None,
            retry_for: Period::from_secs(72 * 3600),
        }
    }
}

/// A setting that cannot work, for the operator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MailProblem {
    /// Key in the table.
    pub key: &'static str,
    /// What is wrong with it.
    pub reason: String,
    /// What to write instead.
    pub hint: String,
}

impl fmt::Display for MailProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mail.{}: {}; {}", self.key, self.reason, self.hint)
    }
}

impl MailConfig {
    /// True where alerts are to be mailed at all.
    pub fn is_enabled(&self) -> bool {
        self.smtp.is_some() || self.directory.is_some()
    }

    /// Everything that is wrong, in the order of the keys.
    pub fn check(&self) -> Vec<MailProblem> {
        let mut problems = Vec::new();
        let mut note = |key, reason: String, hint: &str| {
            problems.push(MailProblem { key, reason, hint: hint.to_owned() });
        };
        match &self.smtp {
            Some(url) => {
                if let Err((reason, hint)) = parse_url(url) {
                    note("smtp", reason, hint);
                }
            }
            None if self.directory.is_none() && (!self.to.is_empty() || !self.from.is_empty()) => {
                note("smtp", "no way for the mail to leave".into(), HINT_SMTP);
            }
            None => (),
        }
        if self.smtp.is_some() && self.directory.is_some() {
            let hint = "keep `smtp` to send, or `directory` to collect files";
            note("directory", "set together with `smtp`".into(), hint);
        }
        if self.is_enabled() {
            self.check_addresses(&mut note);
        }
        let nothing = || "0 would mail nothing".to_owned();
        if self.max_per_hour == 0 {
            note("max_per_hour", nothing(), "write 1 or more; the default is 12");
        }
        if self.max_per_day == 0 {
            note("max_per_day", nothing(), "write 1 or more; the default is 40");
        }
        if DAY < self.bundle {
            let reason = format!("{} is longer than a day", self.bundle);
            note("bundle", reason, "write a time up to `1d`; the default is `1h`");
        }
        if let Some(name) = &self.timezone
            && TimeZone::get(name).is_err()
        {
            let hint = "write an IANA name, such as `Europe/Paris`";
            note("timezone", format!("`{name}` is not a time zone"), hint);
        }
        if self.retry_for < Period::from_secs(60) {
            let hint = "write a minute or more; the default is `72h`";
            note("retry_for", format!("`{}` is too short for a retry", self.retry_for), hint);
        }
        problems
    }

    fn check_addresses(&self, note: &mut impl FnMut(&'static str, String, &str)) {
        if self.from.is_empty() {
            note("from", "missing".into(), "write the sender, such as `alerts@example.org`");
        } else if let Err(reason) = parse_mailbox(&self.from) {
            note("from", reason, "write it as `alerts@example.org` or `Name <alerts@example.org>`");
        }
        if self.to.is_empty() {
            note("to", "nobody would be told".into(), "write `to = [\"analyst@example.org\"]`");
        }
        for address in &self.to {
            if let Err(reason) = parse_mailbox(address) {
                note("to", reason, "write it as `analyst@example.org`");
            }
        }
    }

    /// The zone of times in mails; call [`MailConfig::check`] first, a wrong name falls back.
    pub fn zone(&self) -> TimeZone {
        let named = self.timezone.as_deref().map(TimeZone::get);
        named.and_then(Result::ok).unwrap_or_else(TimeZone::system)
    }

    /// The password of the SMTP user: from `password_file`, else from the file `smtp-password` in
    /// `credentials`, the directory systemd names in `CREDENTIALS_DIRECTORY`.
    pub fn read_password(&self, credentials: Option<&Path>) -> Result<Option<Password>, MailError> {
        let credential = credentials.map(|dir| dir.join("smtp-password")).filter(|p| p.exists());
        let Some(path) = self.password_file.clone().or(credential) else { return Ok(None) };
        let text = std::fs::read_to_string(&path).map_err(|source| MailError::Io {
            action: "read",
            path: path.clone(),
            source,
        })?;
        warn_if_open(&path);
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.is_empty() {
            return Err(MailError::EmptyPassword { path });
        }
        Ok(Some(Password(secret.to_owned())))
    }

    /// Where `smtp` points to.
    pub(crate) fn server(&self) -> Option<Server> {
        self.smtp.as_deref().and_then(|url| parse_url(url).ok())
    }

    /// Sender and recipients.
    pub(crate) fn mailboxes(&self) -> Result<(Mailbox, Vec<Mailbox>), MailError> {
        let parse = |text: &String| parse_mailbox(text).map_err(MailError::Address);
        Ok((parse(&self.from)?, self.to.iter().map(parse).collect::<Result<_, _>>()?))
    }
}

/// A group may be meant to read the password, everybody cannot be.
fn warn_if_open(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let open = |mode: u32| mode & 0o007 != 0;
    if std::fs::metadata(path).is_ok_and(|meta| open(meta.permissions().mode())) {
        tracing::warn!(path = %path.display(), "every user can read the mail password; chmod o= it");
    }
}

/// A password; never shown, not even in debugging output.
#[derive(Clone, Eq, PartialEq)]
pub struct Password(pub(crate) String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Security {
    /// TLS from the first byte.
    Implicit,
    /// TLS after STARTTLS, or nothing.
    StartTls,
    /// None; to this machine only.
    Plain,
}

/// The mail server as configured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Server {
    pub(crate) security: Security,
    pub(crate) user: Option<String>,
    pub(crate) host: String,
    pub(crate) port: u16,
}

const HINT_SMTP: &str = "write `smtps://user@mail.example.org:465`";

const SCHEMES: &[(&str, Security, u16)] = &[
    ("smtps://", Security::Implicit, 465),
    ("smtp+starttls://", Security::StartTls, 587),
    ("smtp://", Security::Plain, 25),
];

/// Reads `scheme://[user@]host[:port]`; the error is the reason and a hint.
pub(crate) fn parse_url(url: &str) -> Result<Server, (String, &'static str)> {
    let row = SCHEMES.iter().find_map(|(scheme, security, port)| {
        url.strip_prefix(scheme).map(|rest| (rest, *security, *port))
    });
    let Some((rest, security, default_port)) = row else {
        let hint = "begin with `smtps://`, `smtp+starttls://` or `smtp://`";
        // The text may hold a password, so it is not repeated.
        return Err(("no known way to reach a mail server".into(), hint));
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (user, address) = match rest.rsplit_once('@') {
        Some((user, address)) => (Some(user), address),
        None => (None, rest),
    };
    if user.is_some_and(|user| user.contains(':')) {
        let hint = "put the password into a file and name it in `password_file`";
        return Err(("a password does not belong into the configuration".into(), hint));
    }
    let (host, port) = split_port(address)
        .ok_or_else(|| (format!("`{address}` is not a host with a port"), HINT_SMTP))?;
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.parse::<IpAddr>().is_err() && (host.is_empty() || !host.chars().all(valid)) {
        return Err((format!("`{host}` is not a host name"), HINT_SMTP));
    }
    if security == Security::Plain && !is_this_machine(host) {
        let hint = "use `smtps://` (port 465) or `smtp+starttls://` (port 587)";
        let reason = "`smtp://` is not encrypted: everybody on the way to ";
        return Err((format!("{reason}`{host}` could read the alerts"), hint));
    }
    Ok(Server {
        security,
        user: user.filter(|user| !user.is_empty()).map(percent_decoded),
        host: host.to_owned(),
        port: port.unwrap_or(default_port),
    })
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn split_port(address: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        return match port.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => port.is_empty().then_some((host, None)),
        };
    }
    match address.split_once(':') {
        Some((host, port)) => Some((host, Some(port.parse().ok().filter(|port| *port != 0)?))),
        None => Some((address, None)),
    }
}

/// A user name may be a mail address, its `@` written as it is or as `%40`.
fn percent_decoded(user: &str) -> String {
    let mut out = Vec::with_capacity(user.len());
    let mut rest = user.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match escape.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if *first == b'%' => {
                out.push(byte);
                rest = &tail[2..];
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn parse_mailbox(text: &str) -> Result<Mailbox, String> {
    let mailbox = Mailbox::from_str(text).map_err(|_| format!("`{text}` is not a mail address"))?;
    // Few servers take other addresses, and none says so before the first alert is lost.
    let address: &str = mailbox.email.as_ref();
    address.is_ascii().then_some(mailbox).ok_or_else(|| format!("`{text}` is not ASCII"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn working() -> MailConfig {
        toml::from_str(
            r#"
            smtp = "smtps://alerts@mail.example.org:465"
            from = "gatewatch <alerts@example.org>"
            to = ["analyst@example.org"]
            "#,
        )
        .expect("a complete table")
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut MailConfig), expected: &[&str]) {
        let mut config = working();
        change(&mut config);
        let actual: Vec<String> = config.check().iter().map(ToString::to_string).collect();
        assert_eq!(expected, actual);
    }

    #[test]
    fn three_lines_are_enough_and_no_table_means_no_mail() {
        check(|_| (), &[]);
        assert_eq!(Vec::<MailProblem>::new(), MailConfig::default().check());
        assert!(!MailConfig::default().is_enabled());
        let error = toml::from_str::<MailConfig>("smpt = \"x\"").expect_err("no such key");
        assert!(error.message().contains("unknown field `smpt`"), "{}", error.message());
    }

    #[test]
    fn all_problems_are_told_at_once() {
        check(
            |config| {
                config.smtp = Some("mail.example.org".into());
                config.from = "nobody".into();
                config.to = vec![];
                config.max_per_hour = 0;
                config.max_per_day = 0;
                config.bundle = Period::from_secs(90_000);
                config.timezone = Some("Paris".into());
                config.retry_for = Period(0);
            },
            &[
                "mail.smtp: no known way to reach a mail server; begin with `smtps://`, \
                 `smtp+starttls://` or `smtp://`",
                "mail.from: `nobody` is not a mail address; write it as `alerts@example.org` or \
                 `Name <alerts@example.org>`",
                "mail.to: nobody would be told; write `to = [\"analyst@example.org\"]`",
                "mail.max_per_hour: 0 would mail nothing; write 1 or more; the default is 12",
                "mail.max_per_day: 0 would mail nothing; write 1 or more; the default is 40",
                "mail.bundle: 25h is longer than a day; write a time up to `1d`; the default is `1h`",
                "mail.timezone: `Paris` is not a time zone; write an IANA name, such as \
                 `Europe/Paris`",
                "mail.retry_for: `0s` is too short for a retry; write a minute or more; the \
                 default is `72h`",
            ],
        );
    }

    #[test]
    fn plain_smtp_is_for_this_machine_only() {
        for url in ["smtp://127.0.0.1:25", "smtp://localhost", "smtp://[::1]:2525"] {
            check(|config| config.smtp = Some(url.into()), &[]);
        }
        check(
            |config| config.smtp = Some("smtp://mail.example.org:25".into()),
            &["mail.smtp: `smtp://` is not encrypted: everybody on the way to \
               `mail.example.org` could read the alerts; use `smtps://` (port 465) or \
               `smtp+starttls://` (port 587)"],
        );
    }

    #[test]
    fn a_password_in_the_address_is_refused_and_not_repeated() {
        let secret = "smtps://alerts:hunter2@mail.example.org";
        let mut config = working();
        config.smtp = Some(secret.into());
        let problems = config.check();
        assert_eq!(1, problems.len());
        assert!(problems[0].hint.contains("password_file"), "{}", problems[0]);
        assert!(!problems[0].to_string().contains("hunter2"));
        assert_eq!("Password(…)", format!("{:?}", Password("hunter2".into())));
    }

    #[test]
    fn the_parts_of_an_address_are_found() {
        let server = parse_url("smtp+starttls://alerts%40example.org@mail.example.org").unwrap();
        assert_eq!(Some("alerts@example.org"), server.user.as_deref());
        assert_eq!((587, "mail.example.org"), (server.port, server.host.as_str()));
        let server = parse_url("smtps://a@example.org@mail.example.org:4465/").unwrap();
        assert_eq!(Some("a@example.org"), server.user.as_deref());
        assert_eq!(4465, server.port);
        for wrong in ["smtps://", "smtps://host:x", "smtps://host:0", "smtps://a b", "smtps://[::1"]
        {
            assert!(parse_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_password_comes_from_its_file_or_from_the_credentials() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = working();
        assert_eq!(Ok(None), config.read_password(Some(dir.path())).map_err(|e| e.to_string()));
        std::fs::write(dir.path().join("smtp-password"), "from systemd\n").expect("written");
        let password = config.read_password(Some(dir.path())).expect("readable").expect("there");
        assert_eq!("from systemd", password.0);
        config.password_file = Some(dir.path().join("missing"));
        let error = config.read_password(None).expect_err("no such file").to_string();
        assert!(error.starts_with("cannot read ") && error.contains("missing"), "{error}");
    }
}
