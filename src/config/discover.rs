//! The logs of a stock machine: what is watched when nothing is configured.

use crate::source::SourceConfig;
use crate::source::glob::{Listings, Pattern};

/// Patterns of the logs that nginx, Apache and the login services of common distributions write.
pub const USUAL_LOGS: &[&str] = &[
    "/var/log/nginx/*access*.log",
    "/var/log/nginx/*error*.log",
    "/var/log/apache2/*access*.log",
    "/var/log/apache2/*error*.log",
    "/var/log/httpd/*access*log",
    "/var/log/httpd/*error*log",
    "/var/log/auth.log",
    "/var/log/secure",
];

/// A source for each of [`USUAL_LOGS`] of which this user can read a file.
pub fn discover() -> Vec<SourceConfig> {
    let mut listings = Listings::default();
    let readable = |pattern: &str, listings: &mut Listings| {
        let Ok(pattern) = Pattern::new(pattern) else { return false };
        pattern.walk(listings).iter().any(|path| std::fs::File::open(path).is_ok())
    };
    let found = USUAL_LOGS.iter().filter(|pattern| readable(pattern, &mut listings));
    found.map(|pattern| SourceConfig::new(*pattern)).collect()
}
