//! A small HTTP client for loopback.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::support::{PATIENCE, Running, until};

/// Asks for a page: the status and the body, or nothing while nobody answers.
pub(crate) fn try_get(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    // HTTP/1.0: the body ends with the connection, never in chunks.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// The pages of a daemon.
#[derive(Debug)]
pub(crate) struct Pages {
    address: String,
}

impl Pages {
    /// Those of `daemon`, which tells its address when it starts.
    #[track_caller]
    pub(crate) fn of(daemon: &mut Running) -> Self {
        let line = daemon.says("metrics  http://");
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        Self { address: address.expect("an address").to_owned() }
    }

    /// Address and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Waits until `/readyz` is as `ready` says and mentions `text`.
    #[track_caller]
    pub(crate) fn until_ready(&self, ready: bool, text: &str) {
        let wanted = if ready { 200 } else { 503 };
        until(&format!("readiness {ready} about `{text}`"), || {
            let (status, body) = try_get(&self.address, "/readyz")?;
            (status == wanted && body.contains(text)).then_some(())
        });
    }
}
