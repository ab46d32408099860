//! The closed sets of words that describe an event: kinds, levels, actions, verdicts.
//!
//! Each set is an enum with the word that is written for each member, so that the compiler lists
//! every place to touch when a set grows.

use serde::{Deserialize, Serialize};

/// What an event is about.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Kind {
    /// A request in an access log.
    #[default]
    Access,
    /// A line of a web server's error log.
    ServerError,
    /// A line about a log-in or a session.
    Auth,
    /// A line that no format understands; the raw line is kept.
    ParseFailure,
}

/// The program family that wrote the log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Module {
    /// nginx, and every log in its shape.
    #[default]
    Nginx,
    /// Apache httpd.
    Apache,
    /// Caddy.
    Caddy,
    /// Microsoft's IIS with its HTTP and FTP services.
    Iis,
    /// HAProxy.
    Haproxy,
    /// Traefik.
    Traefik,
    /// The load balancers and stores of Amazon Web Services.
    Aws,
    /// sshd, PAM, sudo and the system's other programs.
    System,
    /// Anything else, described by the operator.
    App,
}

impl Module {
    /// `event.module`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Apache => "apache",
            Self::Caddy => "caddy",
            Self::Iis => "iis",
            Self::Haproxy => "haproxy",
            Self::Traefik => "traefik",
            Self::Aws => "aws",
            Self::System => "system",
            Self::App => "app",
        }
    }
}

/// Level of a log line; also derived for requests from their status.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// `debug`, `trace1`…`trace8`.
    Debug,
    /// `info`.
    #[default]
    Info,
    /// `notice`.
    Notice,
    /// `warn`.
    Warn,
    /// `error`.
    Error,
    /// `crit`.
    Critical,
    /// `alert`.
    Alert,
    /// `emerg`.
    Emergency,
}

impl Level {
    /// `log.level`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "crit",
            Self::Alert => "alert",
            Self::Emergency => "emerg",
        }
    }

    /// Level of a name as nginx, Apache or syslog write it.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"debug" => Self::Debug,
            b"info" => Self::Info,
            b"notice" => Self::Notice,
            b"warn" | b"warning" => Self::Warn,
            b"error" | b"err" => Self::Error,
            b"crit" | b"critical" => Self::Critical,
            b"alert" => Self::Alert,
            b"emerg" | b"emergency" => Self::Emergency,
            _ if name.starts_with(b"trace") => Self::Debug,
            _ => return None,
        })
    }

    /// Level of a severity in syslog's numbers.
    pub fn from_syslog(severity: u64) -> Option<Self> {
        Some(match severity {
            0 => Self::Emergency,
            1 => Self::Alert,
            2 => Self::Critical,
            3 => Self::Error,
            4 => Self::Warn,
            5 => Self::Notice,
            6 => Self::Info,
            7 => Self::Debug,
            _ => return None,
        })
    }

    /// Severity in syslog's numbers (RFC 5424, section 6.2.1).
    pub fn syslog(self) -> u8 {
        match self {
            Self::Debug => 7,
            Self::Info => 6,
            Self::Notice => 5,
            Self::Warn => 4,
            Self::Error => 3,
            Self::Critical => 2,
            Self::Alert => 1,
            Self::Emergency => 0,
        }
    }

    /// `event.severity`, 1 to 99.
    pub fn severity(self) -> u8 {
        match self {
            Self::Debug | Self::Info => 1,
            Self::Notice => 10,
            Self::Warn => 21,
            Self::Error => 47,
            Self::Critical | Self::Alert => 73,
            Self::Emergency => 99,
        }
    }
}

/// `event.action`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Action {
    /// A request.
    #[default]
    HttpRequest,
    /// A log-in attempt.
    Login,
    /// A log-out.
    Logout,
    /// A line of an error log without a class of its own.
    ServerError,
    /// A log-in that the error log reports as refused.
    AuthFailed,
    /// Forbidden by a rule of the server.
    AccessDenied,
    /// Slowed down or refused by a rate limit.
    RateLimited,
    /// A backend did not answer as it should.
    UpstreamError,
    /// A TLS handshake that failed.
    TlsError,
    /// A request the server could not read.
    BadRequest,
    /// A file that is not there.
    FileNotFound,
    /// A session began.
    SessionOpened,
    /// A session ended.
    SessionClosed,
    /// An account was locked.
    AccountLocked,
    /// A connection that ended before a log-in was complete.
    PreauthDisconnect,
    /// sudo or su.
    PrivilegeElevation,
    /// A login-log line without a class of its own.
    AuthInfo,
    /// A line in which the log speaks of itself, such as the names of its columns.
    LogDirective,
    /// A line that could not be parsed.
    ParseFailed,
}

impl Action {
    /// `event.action` as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::HttpRequest => "http_request",
            Self::Login => "login",
            Self::Logout => "logout",
            Self::ServerError => "server_error",
            Self::AuthFailed => "auth_failed",
            Self::AccessDenied => "access_denied",
            Self::RateLimited => "rate_limited",
            Self::UpstreamError => "upstream_error",
            Self::TlsError => "tls_error",
            Self::BadRequest => "bad_request",
            Self::FileNotFound => "file_not_found",
            Self::SessionOpened => "session_opened",
            Self::SessionClosed => "session_closed",
            Self::AccountLocked => "account_locked",
            Self::PreauthDisconnect => "preauth_disconnect",
            Self::PrivilegeElevation => "privilege_elevation",
            Self::AuthInfo => "auth_info",
            Self::LogDirective => "log_directive",
            Self::ParseFailed => "parse_failed",
        }
    }
}

/// How a log-in ended (`gatewatch.auth.outcome`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuthOutcome {
    /// The server or daemon let the user in.
    Success,
    /// It did not.
    Failure,
    /// No credentials were sent yet: the first leg of a Basic or Digest dialogue.
    Challenge,
    /// A form was posted and the log does not show the result.
    Attempt,
}

impl AuthOutcome {
    /// `gatewatch.auth.outcome`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Challenge => "challenge",
            Self::Attempt => "attempt",
        }
    }
}

/// Why a log-in failed (`event.reason`).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The password was wrong.
    WrongPassword,
    /// There is no such account.
    UnknownUser,
    /// One of the two; the log does not say which.
    BadCredentials,
    /// The key was refused.
    BadKey,
    /// The account is locked.
    AccountLocked,
    /// The account may not log in here.
    NotAllowed,
    /// Too many attempts.
    TooManyAttempts,
    /// A rule refused it.
    Policy,
    /// The dialogue broke the protocol.
    ProtocolError,
    /// The log does not say.
    Unknown,
}

impl Reason {
    /// `event.reason`.
    pub fn name(self) -> &'static str {
        match self {
            Self::WrongPassword => "wrong_password",
            Self::UnknownUser => "unknown_user",
            Self::BadCredentials => "bad_credentials",
            Self::BadKey => "bad_key",
            Self::AccountLocked => "account_locked",
            Self::NotAllowed => "not_allowed",
            Self::TooManyAttempts => "too_many_attempts",
            Self::Policy => "policy",
            Self::ProtocolError => "protocol_error",
            Self::Unknown => "unknown",
        }
    }
}

/// How the user proved who they are (`gatewatch.auth.method`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuthMethod {
    /// HTTP Basic.
    Basic,
    /// HTTP Digest.
    Digest,
    /// A form in a page.
    Form,
    /// A programming interface.
    Rest,
    /// A password typed to sshd.
    Password,
    /// A key.
    PublicKey,
    /// Keyboard-interactive.
    Interactive,
    /// PAM.
    Pam,
    /// sudo.
    Sudo,
    /// su.
    Su,
    /// Anything else.
    Other,
}

impl AuthMethod {
    /// `gatewatch.auth.method`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Digest => "digest",
            Self::Form => "form",
            Self::Rest => "rest",
            Self::Password => "password",
            Self::PublicKey => "publickey",
            Self::Interactive => "kbd-interactive",
            Self::Pam => "pam",
            Self::Sudo => "sudo",
            Self::Su => "su",
            Self::Other => "other",
        }
    }
}

/// How sure the verdict about a log-in is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Confidence {
    /// The server or daemon said so.
    High,
    /// A status code with a known application's rule.
    Medium,
    /// A generic rule, or a log that a client can forge.
    Low,
}

impl Confidence {
    /// `gatewatch.auth.confidence`.
    pub fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// What an event proves about a user having logged in (`gatewatch.auth.grade`).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Grade {
    /// A daemon or application checked the password and said so, or a path that is known to be
    /// protected was opened.
    A,
    /// A form answered as it does after a success, and the server names the user.
    B,
    /// A name that the client sent and nobody is known to have checked.
    C,
    /// An attempt whose end the log does not show.
    D,
}

impl Grade {
    /// `gatewatch.auth.grade`.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
        }
    }
}

/// The verdict about a line that is a log-in attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Auth {
    /// How it ended.
    pub outcome: AuthOutcome,
    /// Why it failed.
    pub reason: Option<Reason>,
    /// How the user proved who they are.
    pub method: AuthMethod,
    /// How sure the verdict is.
    pub confidence: Confidence,
    /// The event increments the counters of failed log-ins; duplicates and challenges do not.
    pub counted: bool,
}

/// What is wrong with a request line (`gatewatch.malformed`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Malformed {
    /// There is none.
    NoRequestLine,
    /// A TLS handshake on the plain port.
    TlsBytes,
    /// A method no client may send.
    BadMethod,
    /// Blanks in the request target.
    SpaceInTarget,
    /// The line was longer than the limit and lost its rest.
    TooLong,
    /// Bytes that are no text.
    Binary,
}

impl Malformed {
    /// `gatewatch.malformed`.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoRequestLine => "no_request_line",
            Self::TlsBytes => "tls_bytes",
            Self::BadMethod => "bad_method",
            Self::SpaceInTarget => "space_in_target",
            Self::TooLong => "too_long",
            Self::Binary => "binary",
        }
    }

    /// All kinds, for counters that start at zero.
    pub const ALL: [Self; 6] = [
        Self::NoRequestLine,
        Self::TlsBytes,
        Self::BadMethod,
        Self::SpaceInTarget,
        Self::TooLong,
        Self::Binary,
    ];
}

/// What the logged time means.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Stamp {
    /// The end of the request, as nginx logs it.
    #[default]
    End,
    /// Its start, as Apache logs it.
    Start,
}

/// Where the client address was taken from (`gatewatch.client_ip_source`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ClientSource {
    /// The TCP peer.
    #[default]
    Peer,
    /// X-Forwarded-For or Forwarded, from the right, past trusted proxies only.
    Forwarded,
    /// A single-value header set by a trusted proxy.
    RealIp,
    /// The server itself resolved it behind its own trusted proxies.
    Server,
    /// An earlier line of the same process.
    Session,
    /// The text allows more than one reading: not counted per client.
    Ambiguous,
}

impl ClientSource {
    /// `gatewatch.client_ip_source`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Forwarded => "xff",
            Self::RealIp => "x-real-ip",
            Self::Server => "server",
            Self::Session => "session",
            Self::Ambiguous => "ambiguous",
        }
    }
}
