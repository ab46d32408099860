//! The last step of a mail: a mail server, or a directory of `.eml` files.
//!
//! Invariant: when `send` says yes, the mail is safe elsewhere: accepted by a server, or on disk.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use lettre::message::Mailbox;

use super::config::{MailConfig, Password};
use super::error::MailError;
use super::mail::RenderedMail;
use super::smtp::{Outcome, Report, SendError, Smtp, Step, StepKind};
use super::text::visible;

/// Where mails go.
#[derive(Debug)]
pub struct Transport {
    from: Mailbox,
    to: Vec<Mailbox>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Smtp(Box<Smtp>),
    Directory(PathBuf),
}

/// What came of a mail that left.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Receipt {
    /// The server's answer, or the file.
    pub answer: String,
    /// Recipients that the server did not take, while it took others.
    pub refused: Vec<SendError>,
}

impl Transport {
    /// The transport that `config` asks for. Nothing is contacted yet.
    pub fn new(config: &MailConfig, password: Option<Password>) -> Result<Self, MailError> {
        let (from, to) = config.mailboxes()?;
        let way = match (config.server(), &config.directory) {
            (Some(server), _) => Way::Smtp(Box::new(Smtp::new(server, config, password)?)),
            (None, Some(directory)) => Way::Directory(directory.clone()),
            (None, None) => return Err(MailError::NoTransport),
        };
        Ok(Self { from, to, way })
    }

    /// The same transport with a shorter patience.
    #[cfg(test)]
    pub(crate) fn with_timeout(mut self, timeout: std::time::Duration) -> Self {
        if let Way::Smtp(smtp) = self.way {
            self.way = Way::Smtp(Box::new(smtp.with_timeout(timeout)));
        }
        self
    }

    /// Sends `mail` to the configured recipients, or to `to` where it names some.
    pub async fn send(&self, mail: &RenderedMail, to: &[String]) -> Result<Receipt, SendError> {
        self.send_reporting(mail, to, &mut |_| ()).await
    }

    /// As [`Transport::send`], telling each step as it happens.
    pub(crate) async fn send_reporting(
        &self,
        mail: &RenderedMail,
        to: &[String],
        report: Report<'_>,
    ) -> Result<Receipt, SendError> {
        // With STARTTLS the greeting comes before TLS, so what was told is remembered.
        let mut told = Vec::new();
        let mut noting = |step: Step| {
            told.push(step.kind);
            report(step);
        };
        let result = self.attempt(mail, to, &mut noting).await;
        if let Err(error) = &result {
            self.report_failure(error, &told, report);
        }
        result
    }

    async fn attempt(
        &self,
        mail: &RenderedMail,
        to: &[String],
        report: Report<'_>,
    ) -> Result<Receipt, SendError> {
        let unbuilt = |text: String| SendError {
            step: StepKind::Message,
            permanent: true,
            text,
            fix: "check `mail.from` and `mail.to`".to_owned(),
            told: false,
        };
        let own = to.iter().filter_map(|text| match text.parse::<Mailbox>() {
            Ok(mailbox) => Some(mailbox),
            Err(error) => {
                tracing::error!(address = %visible(text, 80), %error, "a recipient is left out");
                None
            }
        });
        let own: Vec<Mailbox> = own.collect();
        let to = if own.is_empty() { self.to.clone() } else { own };
        let message = mail.message(&self.from, &to).map_err(|error| unbuilt(error.to_string()))?;
        match &self.way {
            Way::Smtp(smtp) => smtp.send(&self.from, &to, &message, report).await,
            Way::Directory(directory) => {
                let (directory, name) = (directory.clone(), mail.file_name.clone());
                let written =
                    tokio::task::spawn_blocking(move || write_file(&directory, &name, &message));
                let path = match written.await {
                    Ok(result) => result?,
                    Err(panic) => return Err(unbuilt(panic.to_string())),
                };
                let (directory, file) = (path.parent(), path.display().to_string());
                let directory = directory.unwrap_or_else(|| Path::new(".")).display().to_string();
                report(done(StepKind::Directory, directory, "writable"));
                report(done(StepKind::File, file.clone(), "written"));
                Ok(Receipt { answer: format!("written to {file}"), refused: vec![] })
            }
        }
    }

    fn report_failure(&self, error: &SendError, told: &[StepKind], report: Report<'_>) {
        if !error.told {
            let outcome = Outcome::Failed { error: error.text.clone(), fix: error.fix.clone() };
            report(Step { kind: error.step, subject: String::new(), outcome });
        }
        let steps: &[StepKind] = match self.way {
            Way::Smtp(_) => &StepKind::SMTP,
            Way::Directory(_) => &[StepKind::Directory, StepKind::File],
        };
        for kind in steps.iter().filter(|kind| error.step < **kind && !told.contains(kind)) {
            let outcome =
                Outcome::Skipped(format!("because of the failed step `{}`", error.step.name()));
            report(Step { kind: *kind, subject: String::new(), outcome });
        }
    }
}

fn done(kind: StepKind, subject: String, detail: &str) -> Step {
    Step { kind, subject, outcome: Outcome::Done(detail.to_owned()) }
}

/// Writes the whole file or none: a temporary name, synced, then renamed.
fn write_file(directory: &Path, name: &str, message: &[u8]) -> Result<PathBuf, SendError> {
    let failed = |step: StepKind, action: &str, path: &Path, error: &std::io::Error| SendError {
        step,
        permanent: false,
        text: format!("cannot {action} {}: {error}", path.display()),
        fix: "check `mail.directory`, its owner and its free space".to_owned(),
        told: false,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| failed(StepKind::Directory, "create", directory, &error))?;
    // A name that starts with a dot is a mail to nobody yet.
    let temporary = directory.join(format!(".{name}.part"));
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(message)?;
        file.sync_all()
    };
    write().map_err(|error| failed(StepKind::File, "write", &temporary, &error))?;
    let path = directory.join(name);
    fs::rename(&temporary, &path)
        .and_then(|()| File::open(directory)?.sync_all())
        .map_err(|error| failed(StepKind::File, "write", &path, &error))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::notify::{render, samples};

    fn transport(directory: &Path) -> Transport {
        let config = MailConfig {
            from: "alerts@example.org".into(),
            to: vec!["analyst@example.org".into()],
            directory: Some(directory.into()),
            ..MailConfig::default()
        };
        Transport::new(&config, None).expect("a directory")
    }

    #[tokio::test]
    async fn a_mail_becomes_a_private_file_that_is_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let mails = dir.path().join("var/mails");
        let alert = samples::spray();
        let mail = render(&alert, &samples::context(), alert.at);
        let receipt = transport(&mails).send(&mail, &[]).await.expect("written");
        let path = mails.join("20261117T014912Z-7A2F-4C1D-firing.eml");
        assert_eq!(format!("written to {}", path.display()), receipt.answer);
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((0o700, 0o600), (mode(&mails), mode(&path)));
        let text = fs::read_to_string(&path).expect("ASCII");
        assert!(
            text.contains("Subject: [gatewatch] HIGH example.org: password spraying"),
            "{text}"
        );
        // The same transition again replaces its file instead of adding one.
        transport(&mails).send(&mail, &[]).await.expect("written again");
        assert_eq!(1, fs::read_dir(&mails).expect("readable").count());
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("file"), "").expect("written");
        let alert = samples::spray();
        let mail = render(&alert, &samples::context(), alert.at);
        let mut steps = Vec::new();
        let error = transport(&dir.path().join("file/mails"))
            .send_reporting(&mail, &[], &mut |step| steps.push(step.kind))
            .await
            .expect_err("a file is in the way");
        assert_eq!(StepKind::Directory, error.step);
        assert!(error.text.starts_with("cannot create ") && error.text.contains("file/mails"));
        assert_eq!(vec![StepKind::Directory, StepKind::File], steps);
    }
}
