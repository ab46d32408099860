//! The journal as a source: how `journalctl` is asked for it, and how far it was read.
//!
//! The journal's files belong to systemd and change with it, so its own program reads them: lines of
//! JSON come from it, each with a cursor, and a cursor is where a restart goes on.

use std::path::Path;
use std::process::Command;

use super::config::{SourceConfig, SourceError};

/// What the path of a journal begins with; a directory may follow.
const PREFIX: &str = "journal:";

/// The format that reads the lines.
pub const JOURNAL_FORMAT: &str = "journald";

/// The program that reads journals.
pub const JOURNALCTL: &str = "journalctl";

/// The fields that the formats read, beside those that are always there.
const FIELDS: &str = "MESSAGE,SYSLOG_IDENTIFIER,SYSLOG_PID,SYSLOG_FACILITY,PRIORITY,_PID,_UID,_COMM,\
    _HOSTNAME,_SYSTEMD_UNIT,_TRANSPORT,_SOURCE_REALTIME_TIMESTAMP";

impl SourceConfig {
    /// True for a journal, which is read by `journalctl` and not followed.
    pub fn is_journal(&self) -> bool {
        self.path.starts_with(PREFIX)
    }

    /// Says what is wrong with the settings of a journal, if anything.
    pub(super) fn check_journal(&self) -> Result<(), SourceError> {
        if !self.is_journal() {
            let is_none = self.units.is_empty() && self.matches.is_empty();
            return if is_none { Ok(()) } else { Err(SourceError::NoJournal) };
        }
        // `+` lets either what stands before it or what stands behind it hold.
        let is_match = |text: &&String| {
            *text == "+"
                || text.split_once('=').is_some_and(|(field, _)| {
                    let known = |byte: u8| {
                        byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'
                    };
                    !field.is_empty() && field.bytes().all(known)
                })
        };
        match self.matches.iter().find(|text| !is_match(text)) {
            Some(text) => Err(SourceError::BadMatch { text: text.clone() }),
            None => Ok(()),
        }
    }

    /// The command that prints the messages of this journal.
    fn journalctl(&self) -> Command {
        let mut command = Command::new(JOURNALCTL);
        command.args(["--output=json", "--all", "--no-pager"]);
        command.arg(format!("--output-fields={FIELDS}"));
        if let Some(directory) = self.path.strip_prefix(PREFIX).filter(|path| !path.is_empty()) {
            command.arg("--directory").arg(Path::new(directory));
        }
        command.env("LC_ALL", "C").env("SYSTEMD_COLORS", "0");
        command
    }

    /// The command that prints the message at `cursor` and what follows, or all there is; with
    /// `follow` it waits for more.
    ///
    /// Not `--after-cursor`, which passes over one message also where the one at the cursor is gone.
    pub fn read_journal(&self, cursor: Option<&str>, follow: bool) -> Command {
        let mut command = self.journalctl();
        command.args(self.units.iter().map(|unit| format!("--unit={unit}")));
        command.args(cursor.map(|cursor| format!("--cursor={cursor}")));
        if follow {
            command.args(["--follow", "--no-tail"]);
        }
        command.arg("--").args(&self.matches);
        command
    }

    /// The command that prints the last message, whose cursor is the journal's end.
    pub fn end_of_journal(&self) -> Command {
        let mut command = self.journalctl();
        command.arg("--lines=1");
        command
    }
}

/// The cursor of the last whole line of `lines`, as `journalctl` prints them.
///
/// Only the journal itself sets fields that begin with `__`, and JSON hides what a message says.
pub fn last_cursor(lines: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Entry {
        #[serde(rename = "__CURSOR")]
        cursor: String,
    }
    let mut lines = lines.rsplit(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.find_map(|line| serde_json::from_slice::<Entry>(line).ok()).map(|entry| entry.cursor)
}

/// Why `journalctl` does not read the journal, from what it said; completes "cannot read the journal: ".
pub fn journal_problem(said: &str, status: &str) -> String {
    let forbidden = ["insufficient permissions", "Permission denied", "not seeing messages"];
    if forbidden.iter().any(|words| said.contains(words)) {
        return "this user may not see all of it; add the user to group systemd-journal \
                (usermod -aG systemd-journal gatewatch) and start again"
            .to_owned();
    }
    let last = said.lines().rfind(|line| !line.is_empty()).unwrap_or("it said nothing");
    format!("{JOURNALCTL} ended with {status}: {last}")
}

/// Why `journalctl` cannot be started.
pub fn journalctl_missing(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => format!(
            "{JOURNALCTL} is not installed; install systemd, or follow log files (with rsyslog: \
             /var/log/auth.log)"
        ),
        _ => format!("{JOURNALCTL} cannot be started: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(command: &Command) -> Vec<String> {
        command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn what_is_asked_for_follows_the_settings() {
        let config: SourceConfig = toml::from_str(
            "path = \"journal:/srv/journal\"\nunits = [\"ssh.service\"]\nmatches = [\"PRIORITY=4\"]",
        )
        .expect("a source");
        assert_eq!((true, Ok(())), (config.is_journal(), config.check()));
        let asked = arguments(&config.read_journal(Some("s=1;i=2"), true));
        for expected in ["/srv/journal", "--unit=ssh.service", "--cursor=s=1;i=2", "--follow"] {
            assert!(asked.contains(&expected.to_owned()), "no {expected} in {asked:?}");
        }
        assert_eq!(["--", "PRIORITY=4"].map(str::to_owned).as_slice(), &asked[asked.len() - 2..]);
        let once = arguments(&SourceConfig::new("journal:").read_journal(None, false));
        assert!(
            !once.iter().any(|argument| ["--follow", "--directory"].contains(&argument.as_str()))
        );
    }

    #[test]
    fn settings_of_a_journal_are_checked() {
        let mut file = SourceConfig::new("/var/log/auth.log");
        file.units.push("ssh.service".to_owned());
        assert_eq!(Err(SourceError::NoJournal), file.check());
        let mut journal = SourceConfig::new("journal:");
        journal.matches = ["SYSLOG_IDENTIFIER=sudo", "+", "--rotate"].map(str::to_owned).to_vec();
        let error = journal.check().expect_err("no match").to_string();
        assert!(
            error.contains("`--rotate`") && error.contains("SYSLOG_IDENTIFIER=sudo"),
            "{error}"
        );
    }

    #[test]
    fn the_cursor_is_that_of_the_last_whole_line() {
        let lines = br#"{"MESSAGE":"a","__CURSOR":"s=1"}
{"MESSAGE":"\"__CURSOR\":\"s=9\"","__CURSOR":"s=2"}
{"__CURSOR":"s=3","MESSAGE":"cut he"#;
        assert_eq!(Some("s=2".to_owned()), last_cursor(lines));
        assert_eq!(None, last_cursor(b"-- No entries --\n"));
    }

    #[test]
    fn problems_name_the_way_out() {
        let said = "No journal files were opened due to insufficient permissions.\n";
        assert!(journal_problem(said, "exit status: 1").contains("usermod -aG systemd-journal"));
        let said = "Failed to open /x: No such file or directory\n";
        let text = journal_problem(said, "exit status: 1");
        assert!(text.contains("exit status: 1: Failed to open /x"), "{text}");
    }
}
