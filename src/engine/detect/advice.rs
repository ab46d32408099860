//! What to do about an alert: one sentence a key, named by the rules.

/// Every piece of advice by its key.
pub const ADVICE: &[(&str, &str)] = &[
    ("block_client", "If it goes on, block the client at the web server or the firewall."),
    ("check_success", "Look for a log-in that succeeded from the same client, before or since."),
    ("check_user", "Ask the user whether it was them; set a new password if it was not."),
    ("throttle_login", "Limit the rate of the log-in page for everybody; do not block one by one."),
    ("check_server", "Look at the error log of the site and at what was deployed last."),
    ("check_data", "Look at what was fetched; if it is not for everybody, close it and say so."),
    ("check_source", "Look whether the server runs, writes its log there, and the disk has room."),
    (
        "check_tamper",
        "Ask who may write there; compare with the copies at your receivers and in backups.",
    ),
    (
        "check_clock",
        "Look whether the machine's clock is set (chronyc, timedatectl) and the zone is right.",
    ),
    (
        "check_receiver",
        "Look whether the receiver runs; `gatewatch siem verify` and `notify test` say what fails.",
    ),
    (
        "check_rhythm",
        "Look what was different: `gatewatch model show SERIES` says what was expected and why.",
    ),
    ("check_format", "Run `gatewatch detect` on the log: its format may have changed."),
];

/// The sentence of `key`; a key that is none is shown as it is.
pub fn text(key: &str) -> &str {
    ADVICE.iter().find(|(known, _)| *known == key).map_or(key, |(_, text)| text)
}
