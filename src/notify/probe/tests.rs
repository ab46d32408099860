//! The test mail against a mail server that fails at each step in turn.
//!
//! Invariant: the steps before the failing one are done, those after it are skipped.

use std::time::Duration;

use super::*;
use crate::io::Seeded;
use crate::notify::smtp_server::{END, GREETING, Reply, SmtpServer};
use crate::notify::{MailConfig, Outcome, Password, StepKind, samples};

/// Long enough for loopback on a busy machine; a test that hangs on purpose waits for it.
const PATIENCE: Duration = Duration::from_millis(400);

async fn walk(config: &MailConfig) -> (Result<Receipt, SendError>, Vec<Step>) {
    let password = config.smtp.as_ref().filter(|url| url.contains('@'));
    let password = password.map(|_| Password("hunter2".into()));
    let transport = Transport::new(config, password).expect("a transport").with_timeout(PATIENCE);
    let mut steps = Vec::new();
    let mut chance = Seeded::new(7);
    let report = &mut |step| steps.push(step);
    let result =
        notify_test(&transport, &samples::context(), samples::START, &mut chance, report).await;
    (result, steps)
}

/// The steps in one line each: `log in alerts: accepted`.
fn shown(steps: &[Step]) -> Vec<String> {
    let line = |step: &Step| {
        let about = match step.subject.as_str() {
            "" => step.kind.name().to_owned(),
            subject => format!("{} {subject}", step.kind.name()),
        };
        match &step.outcome {
            Outcome::Done(detail) => format!("{about}: {detail}"),
            Outcome::Failed { error, fix } => format!("{about} FAILED: {error} -> {fix}"),
            Outcome::Skipped(why) => format!("{about} skipped: {why}"),
        }
    };
    // The port differs at each run.
    let without_port = |text: String| match text.strip_prefix("connect 127.0.0.1:") {
        Some(rest) => format!("connect 127.0.0.1{}", rest.trim_start_matches(char::is_numeric)),
        None => text,
    };
    steps.iter().map(line).map(without_port).collect()
}

/// Runs into one fault: the step that fails, and what is said about it.
#[track_caller]
fn check(rule: (&'static str, Reply), step: StepKind, text: &str, fix: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let server = SmtpServer::start(&[rule]);
        let (result, steps) = walk(&server.config("alerts@")).await;
        let error = result.expect_err("a fault");
        assert_eq!((step, text), (error.step, error.text.as_str()));
        assert!(error.fix.contains(fix), "{}", error.fix);
        let failed = |step: &&Step| matches!(step.outcome, Outcome::Failed { .. });
        let kinds: Vec<StepKind> = steps.iter().filter(failed).map(|step| step.kind).collect();
        let expected = if step == StepKind::Recipient { 2 } else { 1 };
        assert_eq!(vec![step; expected], kinds, "{:#?}", shown(&steps));
        let last = steps.last().expect("steps");
        assert_eq!(StepKind::Message, last.kind, "every step is told");
        assert!(!format!("{error} {steps:?}").contains("hunter2"), "the password is shown");
        assert!(server.seen().mails.is_empty());
    });
}

#[tokio::test]
async fn a_test_mail_walks_all_steps_and_arrives() {
    let server = SmtpServer::start(&[]);
    let (result, steps) = walk(&server.config("alerts@")).await;
    let expected = vec![
        "look up 127.0.0.1: 127.0.0.1",
        "connect 127.0.0.1: connected",
        "TLS 127.0.0.1 skipped: not encrypted: the server is this machine",
        "greeting 127.0.0.1: the server calls itself mail.example.org",
        "log in alerts: accepted",
        "sender alerts@example.org: accepted",
        "recipient analyst@example.org: accepted",
        "recipient second@example.org: accepted",
        "message: 250 2.0.0 queued as 42",
    ];
    assert_eq!(expected, shown(&steps));
    assert_eq!("250 2.0.0 queued as 42", result.expect("sent").answer);
    let seen = server.seen();
    assert_eq!(1, seen.mails.len());
    let mail = &seen.mails[0];
    assert!(mail.contains("Subject: [gatewatch] test mail from web1.example.org\r\n"), "{mail}");
    assert!(mail.contains("To: analyst@example.org, second@example.org\r\n"), "{mail}");
    assert!(mail.contains("Auto-Submitted: auto-generated\r\n"), "{mail}");
}

#[tokio::test]
async fn without_a_user_nobody_logs_in() {
    let server = SmtpServer::start(&[("AUTH", Reply::Say("530 no"))]);
    let (result, _) = walk(&server.config("")).await;
    result.expect("sent");
    assert!(!server.seen().commands.iter().any(|line| line.starts_with("AUTH")));
}

#[test]
fn each_failure_names_its_step_and_a_way_out() {
    use StepKind::{Greeting, LogIn, Message, Recipient, Sender};
    let said = |text| Reply::Say(text);
    check(
        (GREETING, said("421 4.3.2 too busy")),
        Greeting,
        "the server said 421: 4.3.2 too busy",
        "ask its operator",
    );
    check((GREETING, Reply::Close), Greeting, "the server closed the connection", "operator");
    check(
        ("AUTH", said("535 5.7.8 bad password hunter2")),
        LogIn,
        "the server said 535: 5.7.8 bad password [password]",
        "`mail.password_file`",
    );
    check(
        ("EHLO", said("250 mail.example.org")),
        LogIn,
        "the server offers no log-in by password",
        "take the user out",
    );
    check(
        ("MAIL", said("553 5.7.1 not yours")),
        Sender,
        "the server said 553: 5.7.1 not yours",
        "`mail.from`",
    );
    check(
        ("RCPT", said("550 5.1.1 no such user")),
        Recipient,
        "analyst@example.org: the server said 550: 5.1.1 no such user",
        "`mail.to`",
    );
    check(
        ("RCPT", said("554 5.7.1 Relay access denied")),
        Recipient,
        "analyst@example.org: the server said 554: 5.7.1 Relay access denied",
        "log-in",
    );
    check(
        ("DATA", said("451 4.3.0 later")),
        Message,
        "the server said 451: 4.3.0 later",
        "operator",
    );
    check(
        (END, said("554 5.7.1 looks\u{1b}[31m like spam")),
        Message,
        "the server said 554: 5.7.1 looks\\x1B[31m like spam",
        "operator",
    );
}

#[test]
fn a_silent_server_costs_only_the_time_limit() {
    for (word, step) in
        [(GREETING, StepKind::Greeting), ("AUTH", StepKind::LogIn), ("RCPT", StepKind::Recipient)]
    {
        let text = "no answer within 0.4 s";
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let (result, _) = runtime.expect("a runtime").block_on(async {
            let server = SmtpServer::start(&[(word, Reply::Hang)]);
            walk(&server.config("alerts@")).await
        });
        let error = result.expect_err("silence");
        assert_eq!((step, text), (error.step, error.text.as_str()));
    }
}

#[tokio::test]
async fn one_wrong_recipient_does_not_keep_the_other_from_being_told() {
    let server = SmtpServer::start(&[("RCPT TO:<analyst", Reply::Say("550 5.1.1 no such user"))]);
    let (result, steps) = walk(&server.config("")).await;
    let receipt = result.expect("one took it");
    assert_eq!(1, receipt.refused.len());
    assert!(receipt.refused[0].text.starts_with("analyst@example.org: "), "{receipt:?}");
    assert_eq!(1, server.seen().mails.len());
    let failed = steps.iter().filter(|step| matches!(step.outcome, Outcome::Failed { .. }));
    assert_eq!(1, failed.count());
}

#[tokio::test]
async fn a_closed_port_and_an_unknown_host_are_told_apart() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("bound")
    };
    let mut config = SmtpServer::start(&[]).config("");
    config.smtp = Some(format!("smtp://{closed}"));
    let (result, _) = walk(&config).await;
    let error = result.expect_err("nobody listens");
    assert_eq!(
        (StepKind::Connect, "the connection was refused"),
        (error.step, error.text.as_str())
    );
    config.smtp = Some("smtps://no-such-host.invalid".into());
    let (result, steps) = walk(&config).await;
    assert_eq!(StepKind::LookUp, result.expect_err("no such host").step);
    assert_eq!(StepKind::SMTP.len(), steps.len(), "{steps:?}");
}

#[tokio::test]
async fn without_starttls_neither_password_nor_alert_leaves() {
    for rule in [
        ("EHLO", Reply::Say("250-mail.example.org\r\n250 AUTH PLAIN")),
        ("EHLO", Reply::Say("250-mail.example.org\r\n250-AUTH PLAIN\r\n250 STARTTLS")),
    ] {
        let server = SmtpServer::start(&[rule, ("STARTTLS", Reply::Say("454 4.7.0 not now"))]);
        let mut config = server.config("alerts@");
        config.smtp = config.smtp.map(|url| url.replace("smtp://", "smtp+starttls://"));
        let (result, _) = walk(&config).await;
        let error = result.expect_err("no encryption");
        assert_eq!(StepKind::Tls, error.step, "{error}");
        let seen = server.seen();
        let harmless =
            |line: &String| ["EHLO", "STARTTLS", "QUIT"].iter().any(|w| line.starts_with(w));
        assert!(seen.commands.iter().all(harmless), "{:?}", seen.commands);
    }
}

#[tokio::test]
async fn a_plain_server_behind_smtps_is_a_failure_of_tls() {
    let server = SmtpServer::start(&[]);
    let mut config = server.config("alerts@");
    config.smtp = config.smtp.map(|url| url.replace("smtp://", "smtps://"));
    let (result, steps) = walk(&config).await;
    let error = result.expect_err("no TLS there");
    assert_eq!(StepKind::Tls, error.step, "{error} {steps:?}");
    assert_eq!("the answer was not TLS", error.text);
    assert!(error.fix.contains("smtp+starttls://"), "{error}");
    let connected =
        |step: &Step| step.kind == StepKind::Connect && matches!(step.outcome, Outcome::Done(_));
    assert!(steps.iter().any(connected), "{steps:?}");
    assert!(!server.seen().commands.iter().any(|line| line.contains("AUTH")));
}

#[test]
fn a_user_without_a_password_is_refused_before_anything_is_sent() {
    let config = SmtpServer::start(&[]).config("alerts@");
    let error = Transport::new(&config, None).expect_err("no password").to_string();
    assert!(error.contains("`alerts`") && error.contains("mail.password_file"), "{error}");
}
