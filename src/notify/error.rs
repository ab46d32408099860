//! What can go wrong between an alert and its reader.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::store::StoreError;

/// A failed operation of the notifier.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MailError {
    /// An address that does not parse: the configuration was not checked.
    #[error("{0}")]
    Address(String),

    /// Neither a server nor a directory is configured.
    #[error("no way for the mail to leave; set `mail.smtp` or `mail.directory`")]
    NoTransport,

    /// The password file holds nothing.
    #[error("{path} is empty; write the password of the SMTP user into it")]
    EmptyPassword {
        /// The file.
        path: PathBuf,
    },

    /// The user has no password: nobody could log in.
    #[error(
        "`mail.smtp` names the user `{user}` and there is no password; set `mail.password_file`"
    )]
    NoPassword {
        /// The user.
        user: String,
    },

    /// The certificates to trust cannot be used.
    #[error("{path} cannot be used: {reason}; name a PEM file with a CA certificate")]
    Certificate {
        /// The file, or a word for the system's store.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },

    /// A message that the mail library refuses to build.
    #[error("the message cannot be built: {0}")]
    Message(String),

    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// The attempted action, as an infinitive.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The reason the operating system gave.
        source: io::Error,
    },

    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}
