//! One conversation with a mail server, step by step.
//!
//! Alert mails and `notify test` walk the same path, so a test that succeeds says that mails will
//! leave, and an error of either names the step that failed, in words and with what to do.
//!
//! Invariant: every step has a time limit, and the password is in no message of ours.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use lettre::Address;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{Error as LettreError, response::Response};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::config::{MailConfig, Password, Security, Server};
use super::error::MailError;
use super::text::visible;
use super::transport::Receipt;

/// How long a server may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A server may scan the mail before it answers its end.
const TIMEOUT_FACTOR_END: u32 = 4;
/// Characters of a server's answer that are shown.
const ANSWER_MAX: usize = 240;

/// A part of the way of a mail.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum StepKind {
    /// The directory of the `.eml` files exists and can be written to.
    Directory,
    /// The `.eml` file.
    File,
    /// The name of the server becomes addresses.
    LookUp,
    /// A connection is made.
    Connect,
    /// The connection is encrypted, and the server is who it says.
    Tls,
    /// The server says that it is ready.
    Greeting,
    /// User and password.
    LogIn,
    /// The server takes our sender address.
    Sender,
    /// The server takes a recipient.
    Recipient,
    /// The server takes the mail.
    Message,
}

impl StepKind {
    /// The steps of a conversation with a server, in their order.
    pub const SMTP: [Self; 8] = [
        Self::LookUp,
        Self::Connect,
        Self::Tls,
        Self::Greeting,
        Self::LogIn,
        Self::Sender,
        Self::Recipient,
        Self::Message,
    ];

    /// In the words of a message.
    pub fn name(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::File => "mail file",
            Self::LookUp => "look up",
            Self::Connect => "connect",
            Self::Tls => "TLS",
            Self::Greeting => "greeting",
            Self::LogIn => "log in",
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::Message => "message",
        }
    }
}

/// What became of a step.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    /// Which step.
    pub kind: StepKind,
    /// What it was about: a host, an address.
    pub subject: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a step.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Done, with what was learnt.
    Done(String),
    /// Failed.
    Failed {
        /// What happened.
        error: String,
        /// What to do about it.
        fix: String,
    },
    /// Not tried, and why.
    Skipped(String),
}

/// A mail that did not leave.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}: {text}; {fix}", step.name())]
pub struct SendError {
    /// The step that failed.
    pub step: StepKind,
    /// The server will say the same again unless somebody changes something.
    pub permanent: bool,
    /// What happened.
    pub text: String,
    /// What to do about it.
    pub fix: String,
    /// The step was reported when it happened.
    pub(crate) told: bool,
}

impl SendError {
    /// True where other mails need not be tried: the way is blocked, not this mail refused.
    pub fn blocks_all(&self) -> bool {
        self.step != StepKind::Message || !self.permanent
    }
}

/// Takes note of steps as they happen.
pub(crate) type Report<'a> = &'a mut (dyn FnMut(Step) + Send);

/// A mail server and how to talk to it.
pub(crate) struct Smtp {
    server: Server,
    password: Option<Password>,
    tls: Option<TlsParameters>,
    hello: ClientId,
    timeout: Duration,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Smtp {
    pub(crate) fn new(
        server: Server,
        config: &MailConfig,
        password: Option<Password>,
    ) -> Result<Self, MailError> {
        if let (Some(user), None) = (&server.user, &password) {
            return Err(MailError::NoPassword { user: user.clone() });
        }
        let tls = match server.security {
            Security::Plain => None,
            Security::Implicit | Security::StartTls => {
                Some(tls_parameters(&server.host, config.ca_file.as_deref())?)
            }
        };
        Ok(Self { server, password, tls, hello: ClientId::default(), timeout: TIMEOUT })
    }

    #[cfg(test)]
    pub(crate) fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends one message to all recipients that the server takes; at least one.
    pub(crate) async fn send(
        &self,
        from: &Mailbox,
        to: &[Mailbox],
        message: &[u8],
        report: Report<'_>,
    ) -> Result<Receipt, SendError> {
        let mut connection = self.connect(report).await?;
        let result = self.hand_over(&mut connection, from, to, message, report).await;
        // A polite end, but the outcome stands without it.
        let _ = timeout(self.timeout, connection.quit()).await;
        result
    }

    async fn connect(&self, report: Report<'_>) -> Result<AsyncSmtpConnection, SendError> {
        let addresses = self.look_up().await?;
        let shown: Vec<String> = addresses.iter().map(|a| a.ip().to_string()).collect();
        report(self.done(StepKind::LookUp, &self.server.host, shown.join(", ")));
        let mut last = self.error(StepKind::LookUp, "the name has no address".into());
        for address in addresses {
            match self.connect_to(address, report).await {
                // Another address may answer where this one does not.
                Err(error) if error.step == StepKind::Connect => last = error,
                result => return result,
            }
        }
        Err(last)
    }

    async fn look_up(&self) -> Result<Vec<SocketAddr>, SendError> {
        let query = tokio::net::lookup_host((self.server.host.as_str(), self.server.port));
        match timeout(self.timeout, query).await {
            Ok(Ok(addresses)) => Ok(addresses.collect()),
            Ok(Err(error)) => Err(self.error(StepKind::LookUp, in_words(&error))),
            Err(_) => Err(self.silent(StepKind::LookUp, self.timeout)),
        }
    }

    async fn connect_to(
        &self,
        address: SocketAddr,
        report: Report<'_>,
    ) -> Result<AsyncSmtpConnection, SendError> {
        match (&self.tls, self.server.security) {
            (Some(tls), Security::Implicit) => self.connect_tls(address, tls, report).await,
            (Some(tls), _) => {
                let mut connection = self.connect_plain(address, report).await?;
                self.start_tls(&mut connection, tls).await?;
                report(self.done(
                    StepKind::Tls,
                    &self.server.host,
                    "STARTTLS, certificate valid".into(),
                ));
                Ok(connection)
            }
            (None, _) => self.connect_plain(address, report).await,
        }
    }

    async fn connect_plain(
        &self,
        address: SocketAddr,
        report: Report<'_>,
    ) -> Result<AsyncSmtpConnection, SendError> {
        let stream = match timeout(self.timeout, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(self.error(StepKind::Connect, in_words(&error))),
            Err(_) => return Err(self.silent(StepKind::Connect, self.timeout)),
        };
        report(self.done(StepKind::Connect, &address.to_string(), "connected".into()));
        if self.tls.is_none() {
            let why = "not encrypted: the server is this machine".to_owned();
            report(self.step(StepKind::Tls, &self.server.host, Outcome::Skipped(why)));
        }
        let greeting = AsyncSmtpConnection::connect_with_transport(Box::new(stream), &self.hello);
        let connection = self.within(StepKind::Greeting, self.timeout, greeting).await?;
        report(self.greeted(&connection));
        Ok(connection)
    }

    /// TLS from the first byte: the library connects, encrypts and greets in one call, so the step
    /// that failed is told by the kind of its error.
    async fn connect_tls(
        &self,
        address: SocketAddr,
        tls: &TlsParameters,
        report: Report<'_>,
    ) -> Result<AsyncSmtpConnection, SendError> {
        let (limit, tls) = (self.timeout, Some(tls.clone()));
        let all = AsyncSmtpConnection::connect_tokio1(address, Some(limit), &self.hello, tls, None);
        let connection = match timeout(2 * limit, all).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(self.failed(step_of(&error), &error)),
            Err(_) => Err(self.silent(StepKind::Tls, limit)),
        };
        let failed = connection.as_ref().err().map_or(StepKind::LogIn, |error| error.step);
        if StepKind::Connect < failed {
            report(self.done(StepKind::Connect, &address.to_string(), "connected".into()));
        }
        if StepKind::Tls < failed {
            report(self.done(StepKind::Tls, &self.server.host, "certificate valid".into()));
        }
        let connection = connection?;
        report(self.greeted(&connection));
        Ok(connection)
    }

    async fn start_tls(
        &self,
        connection: &mut AsyncSmtpConnection,
        tls: &TlsParameters,
    ) -> Result<(), SendError> {
        if !connection.can_starttls() {
            // Going on would hand password and alerts to whoever removed the offer.
            return Err(self.error(StepKind::Tls, "the server offers no STARTTLS".into()));
        }
        let upgrade = connection.starttls(tls.clone(), &self.hello);
        self.within(StepKind::Tls, self.timeout, upgrade).await
    }

    async fn hand_over(
        &self,
        connection: &mut AsyncSmtpConnection,
        from: &Mailbox,
        to: &[Mailbox],
        message: &[u8],
        report: Report<'_>,
    ) -> Result<Receipt, SendError> {
        self.log_in(connection, report).await?;
        let sender = Mail::new(Some(from.email.clone()), vec![]);
        self.within(StepKind::Sender, self.timeout, connection.command(sender)).await?;
        report(self.done(StepKind::Sender, from.email.as_ref(), "accepted".into()));
        let refused = self.name_recipients(connection, to, report).await?;
        self.within(StepKind::Message, self.timeout, connection.command(Data)).await?;
        let end = connection.message(message);
        let answer = self.within(StepKind::Message, TIMEOUT_FACTOR_END * self.timeout, end).await?;
        let answer = self.answer(&answer);
        report(self.done(StepKind::Message, "", answer.clone()));
        Ok(Receipt { answer, refused })
    }

    async fn log_in(
        &self,
        connection: &mut AsyncSmtpConnection,
        report: Report<'_>,
    ) -> Result<(), SendError> {
        let (Some(user), Some(password)) = (&self.server.user, &self.password) else {
            let why = "no user in `mail.smtp`".to_owned();
            report(self.step(StepKind::LogIn, "", Outcome::Skipped(why)));
            return Ok(());
        };
        if connection.server_info().get_auth_mechanism(DEFAULT_MECHANISMS).is_none() {
            return Err(
                self.error(StepKind::LogIn, "the server offers no log-in by password".into())
            );
        }
        let credentials = Credentials::new(user.clone(), password.0.clone());
        let auth = connection.auth(DEFAULT_MECHANISMS, &credentials);
        self.within(StepKind::LogIn, self.timeout, auth).await?;
        report(self.done(StepKind::LogIn, user, "accepted".into()));
        Ok(())
    }

    /// One wrong address must not keep the others from being told, so refusals are collected.
    async fn name_recipients(
        &self,
        connection: &mut AsyncSmtpConnection,
        to: &[Mailbox],
        report: Report<'_>,
    ) -> Result<Vec<SendError>, SendError> {
        let mut refused = Vec::new();
        for mailbox in to {
            let address: &Address = &mailbox.email;
            let command = connection.command(Rcpt::new(address.clone(), vec![]));
            match self.within(StepKind::Recipient, self.timeout, command).await {
                Ok(_) => {
                    report(self.done(StepKind::Recipient, address.as_ref(), "accepted".into()))
                }
                Err(mut error) if error.told => {
                    error.text = format!("{address}: {}", error.text);
                    let outcome =
                        Outcome::Failed { error: error.text.clone(), fix: error.fix.clone() };
                    report(self.step(StepKind::Recipient, address.as_ref(), outcome));
                    refused.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        if refused.len() < to.len() {
            return Ok(refused);
        }
        let permanent = refused.iter().all(|error| error.permanent);
        let first = refused.into_iter().next();
        let first = first.unwrap_or_else(|| self.error(StepKind::Recipient, "no recipient".into()));
        Err(SendError { permanent, ..first })
    }

    async fn within<T>(
        &self,
        step: StepKind,
        limit: Duration,
        work: impl Future<Output = Result<T, LettreError>>,
    ) -> Result<T, SendError> {
        match timeout(limit, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                let answered = error.status().is_some();
                let mut failed = self.failed(step, &error);
                // Refusals of a recipient are reported beside its address.
                failed.told = step == StepKind::Recipient && answered;
                Err(failed)
            }
            Err(_) => Err(self.silent(step, limit)),
        }
    }

    fn failed(&self, step: StepKind, error: &LettreError) -> SendError {
        let text = match (error.status(), error.source()) {
            (Some(code), Some(answer)) => format!("the server said {code}: {answer}"),
            (Some(code), None) => format!("the server said {code}"),
            _ => in_words(error),
        };
        SendError { permanent: error.is_permanent(), ..self.error(step, text) }
    }

    fn silent(&self, step: StepKind, limit: Duration) -> SendError {
        self.error(step, format!("no answer within {} s", limit.as_secs_f32()))
    }

    fn error(&self, step: StepKind, text: String) -> SendError {
        let text = visible(&self.without_password(&text), ANSWER_MAX);
        let fix = fix(step, &text, &self.server);
        SendError { step, permanent: false, text, fix, told: false }
    }

    /// Some servers repeat what they were told.
    fn without_password(&self, text: &str) -> String {
        match &self.password {
            Some(password) => text.replace(&password.0, "[password]"),
            None => text.to_owned(),
        }
    }

    fn answer(&self, response: &Response) -> String {
        let text = response.message().collect::<Vec<_>>().join(" ");
        visible(&self.without_password(&format!("{} {text}", response.code())), ANSWER_MAX)
    }

    fn greeted(&self, connection: &AsyncSmtpConnection) -> Step {
        let name = visible(connection.server_info().name(), 80);
        self.done(StepKind::Greeting, &self.server.host, format!("the server calls itself {name}"))
    }

    fn done(&self, kind: StepKind, subject: &str, detail: String) -> Step {
        self.step(kind, subject, Outcome::Done(detail))
    }

    fn step(&self, kind: StepKind, subject: &str, outcome: Outcome) -> Step {
        Step { kind, subject: subject.to_owned(), outcome }
    }
}

fn tls_parameters(host: &str, ca_file: Option<&Path>) -> Result<TlsParameters, MailError> {
    let mut builder = TlsParameters::builder(host.to_owned());
    let unusable =
        |path: &Path, reason: String| MailError::Certificate { path: path.into(), reason };
    if let Some(path) = ca_file {
        let pem = std::fs::read(path).map_err(|source| MailError::Io {
            action: "read",
            path: path.into(),
            source,
        })?;
        let certificate = Certificate::from_pem(&pem).map_err(|e| unusable(path, in_words(&e)))?;
        if !pem.windows(10).any(|part| part == b"-----BEGIN") {
            return Err(unusable(path, "no certificate in it".into()));
        }
        builder = builder.add_root_certificate(certificate);
    }
    let path = ca_file.unwrap_or_else(|| Path::new("the system's certificate store"));
    builder.build().map_err(|error| unusable(path, in_words(&error)))
}

/// The step at which [`AsyncSmtpConnection::connect_tokio1`] failed.
fn step_of(error: &LettreError) -> StepKind {
    let answered = error.status().is_some() || error.is_response() || error.is_client();
    let inner = error.source().is_some_and(|inner| inner.is::<LettreError>());
    let connection = error.source().is_some_and(|inner| inner.is::<io::Error>());
    match (answered, inner) {
        (true, _) => StepKind::Greeting,
        // The library wraps what TLS says once more than what the network says.
        (_, true) => StepKind::Tls,
        _ if connection && error.to_string().starts_with("network") => StepKind::Greeting,
        _ => StepKind::Connect,
    }
}

/// The innermost cause, in words where we have better ones.
fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => return "the connection was refused".to_owned(),
        Some(io::ErrorKind::TimedOut) => return "no answer to the connection".to_owned(),
        Some(
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof,
        ) => return CLOSED.to_owned(),
        _ => (),
    }
    let text = cause.to_string();
    match text.as_str() {
        "incomplete response" => CLOSED.to_owned(),
        _ if text.contains("InvalidContentType") => "the answer was not TLS".to_owned(),
        _ => text,
    }
}

const CLOSED: &str = "the server closed the connection";

/// What an operator can do about a failure.
fn fix(step: StepKind, text: &str, server: &Server) -> String {
    let port = server.port;
    let has = |part: &str| text.contains(part);
    let fix = match step {
        StepKind::Directory | StepKind::File => "check `mail.directory`, its owner and its space",
        StepKind::LookUp => "check the host name in `mail.smtp` and this machine's name servers",
        StepKind::Connect if has("refused") => {
            "check host and port in `mail.smtp`; 465 belongs to smtps://, 587 to smtp+starttls://"
        }
        StepKind::Connect => {
            return format!("a firewall may stop connections to port {port}; check `mail.smtp`");
        }
        StepKind::Tls if has("UnknownIssuer") || has("BadSignature") => {
            "nobody this machine trusts signed the certificate; name the CA's PEM file in \
             `mail.ca_file`"
        }
        StepKind::Tls if has("not valid for name") || has("NotValidForName") => {
            "write the name that the certificate is for into `mail.smtp`"
        }
        StepKind::Tls if has("xpired") || has("NotValidYet") => {
            "the certificate is not valid today; renew it, or set this machine's clock"
        }
        StepKind::Tls if has("no STARTTLS") => "use smtps:// with port 465",
        StepKind::Tls if server.security == Security::Implicit => {
            "this port may not speak TLS at once; for port 587 write smtp+starttls://"
        }
        StepKind::Tls => "ask the operator of the mail server",
        StepKind::Greeting if has("no answer") && port == 465 => "port 465 needs smtps://",
        StepKind::Greeting if has("no answer") => "is this the port of a mail server?",
        StepKind::Greeting => "the server does not want mail from this machine; ask its operator",
        StepKind::LogIn if has("no log-in") => {
            "take the user out of `mail.smtp`, or use smtps:// or smtp+starttls://"
        }
        StepKind::LogIn => {
            "check the user in `mail.smtp` and its password in `mail.password_file`; some \
             providers want a password made for this program"
        }
        StepKind::Sender => "set `mail.from` to an address that this user may send as",
        StepKind::Recipient if has("elay") => {
            "the server wants a log-in first; name a user in `mail.smtp`"
        }
        StepKind::Recipient => "check the addresses in `mail.to`",
        StepKind::Message => "ask the operator of the mail server why it refuses this mail",
    };
    fix.to_owned()
}
