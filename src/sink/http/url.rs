//! Where an HTTP sink sends to, as it is written in the configuration.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hyper::Uri;
use serde::{Deserialize, Serialize};

/// An address such as `https://siem.example.org:9200/prefix`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Url {
    /// Over TLS.
    pub https: bool,
    /// Name or address of the machine, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The path without a slash at its end; empty where there is none.
    pub path: String,
    text: String,
}

/// A text that is no address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UrlError {
    /// It has another form.
    #[error("`{0}` is not an address; write https://host:port/path")]
    Form(String),
    /// It has a part that would not be used.
    #[error("an address has no query here; leave out what follows `?` or `#`")]
    Query,
    /// Everybody who sees the configuration or a message would see them.
    #[error("an address has no user and no password here; write `username` and `password_file`")]
    Secret,
}

impl Url {
    /// The receiver is this machine.
    pub fn is_loopback(&self) -> bool {
        let address: Option<IpAddr> = self.host.parse().ok();
        self.host == "localhost" || address.is_some_and(|address| address.is_loopback())
    }

    /// Like an address, but what follows the machine may be a secret: it may hold a query, is asked for
    /// as it stands, and is never shown.
    pub(crate) fn with_secret_path(text: &str) -> Result<Self, UrlError> {
        let end = text.find("://").map_or(0, |at| at + 3);
        let start = text[end..].find(['/', '?', '#']).map_or(text.len(), |at| end + at);
        let (machine, path) = text.split_at(start);
        // The machine alone, so that no error repeats what follows it.
        let mut url: Self = machine.parse()?;
        let asked = path.split('#').next().unwrap_or_default();
        asked
            .parse::<Uri>()
            .ok()
            .filter(|_| asked.starts_with('/'))
            .or_else(|| asked.is_empty().then(Uri::default))
            .ok_or_else(|| UrlError::Form(format!("{machine}/…")))?;
        url.text = if asked.is_empty() { machine.to_owned() } else { format!("{machine}/…") };
        asked.clone_into(&mut url.path);
        Ok(url)
    }

    /// What the header `Host` says.
    pub(in crate::sink) fn authority(&self) -> String {
        let usual = if self.https { 443 } else { 80 };
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }

    /// The path of a request to what lies at `end` below the configured path, which may hold it
    /// already.
    pub fn below(&self, end: &str) -> String {
        match self.path.ends_with(end) {
            true => self.path.clone(),
            false => format!("{}{end}", self.path),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let form = || UrlError::Form(text.to_owned());
        if text.contains('@') {
            return Err(UrlError::Secret);
        }
        if text.contains(['?', '#']) {
            return Err(UrlError::Query);
        }
        let uri: Uri = text.parse().map_err(|_| form())?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(form()),
        };
        let host = uri.host().ok_or_else(form)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = uri.port().map_or(Some(if https { 443 } else { 80 }), |port| {
            Some(port.as_u16()).filter(|port| *port != 0)
        });
        if bare.is_empty() {
            return Err(form());
        }
        Ok(Self {
            https,
            host: bare.to_owned(),
            port: port.ok_or_else(form)?,
            path: uri.path().trim_end_matches('/').to_owned(),
            text: text.to_owned(),
        })
    }
}

impl TryFrom<String> for Url {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        text.parse()
    }
}

impl From<Url> for String {
    fn from(url: Url) -> Self {
        url.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let url: Url = "https://siem.example.org:9200/es/".parse().expect("an address");
        assert_eq!((true, "siem.example.org", 9200), (url.https, &*url.host, url.port));
        assert_eq!("siem.example.org:9200", url.authority());
        assert_eq!("/es/_bulk", url.below("/_bulk"));
        let url: Url = "http://[2001:db8::1]/services/collector/event".parse().expect("an address");
        assert_eq!(("2001:db8::1", 80, "[2001:db8::1]"), (&*url.host, url.port, &*url.authority()));
        assert_eq!("/services/collector/event", url.below("/services/collector/event"));
        assert!(!url.is_loopback());
        assert!("http://127.0.0.1".parse::<Url>().expect("an address").is_loopback());
    }

    #[test]
    fn a_secret_path_is_asked_for_and_never_shown() {
        let text = "https://hooks.example.org/services/T0/s3cret/?sig=s3cret";
        let url = Url::with_secret_path(text).expect("an address");
        assert_eq!("/services/T0/s3cret/?sig=s3cret", url.path);
        assert_eq!("https://hooks.example.org/…", url.to_string());
        assert_eq!("", Url::with_secret_path("http://127.0.0.1:9093").expect("one").path);
        for wrong in ["https://hooks.example.org/s3cret a", "hooks/s3cret", "https://?s3cret"] {
            let error = Url::with_secret_path(wrong).expect_err(wrong).to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn an_address_that_cannot_be_used_says_what_to_write() {
        let check = |text: &str, expected: &str| {
            let error = text.parse::<Url>().expect_err("no address").to_string();
            assert!(error.contains(expected), "{error}");
        };
        for text in
            ["siem.example.org", "tcp://siem:1", "https://", "http://siem:0", "/x", "http:x"]
        {
            check(text, "write https://host:port/path");
        }
        check("https://me:secret@siem.example.org", "`password_file`");
        check("https://siem.example.org/?a=b", "leave out");
    }
}
