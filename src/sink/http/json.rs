//! JSON lines for any receiver.
//!
//! The contract: POST with `application/x-ndjson`, one event a line.
//!
//! - Any 2xx says that all lines are taken, for good.
//! - 400 and 422 say that a line can never be taken: the request is halved until it is found.
//! - All else is as for every interface: `deliver`.
//!
//! `Idempotency-Key` is the same where the same lines are sent again. With a signing key,
//! `X-Gatewatch-Signature` is `sha256=` and, in hexadecimal, HMAC-SHA256 over the value of
//! `X-Gatewatch-Timestamp` (seconds since 1970), a full stop, and the body as it is sent, which is
//! before it is unpacked. A receiver compares the time with its clock, or a request could be played
//! again.

use std::path::PathBuf;

use ring::hmac;
use sha2::{Digest as _, Sha256};

use super::Api;
use super::batch::Part;
use super::client::{Answer, Request, secret};
use super::config::HttpConfig;
use super::deliver::{Verdict, by_status};
use crate::engine::text::hex;
use crate::sink::SinkError;
use crate::units::Timestamp;

/// The interface.
#[derive(Debug)]
pub(super) struct Json {
    path: String,
    signing_key: Option<PathBuf>,
    compress: bool,
}

impl Json {
    pub(super) fn open(config: &HttpConfig) -> Box<dyn Api> {
        let path = match config.url.path.as_str() {
            "" => "/",
            path => path,
        };
        Box::new(Self {
            path: path.to_owned(),
            signing_key: config.signing_key_file.clone(),
            compress: config.compress,
        })
    }
}

impl Api for Json {
    fn request(&self, part: &Part<'_>, now: Timestamp) -> Result<Request, SinkError> {
        let mut body = Vec::with_capacity(part.size() + part.len());
        for (_, record) in part.entries() {
            body.extend_from_slice(record);
            body.push(b'\n');
        }
        let request = Request::new(self.path.clone(), "application/x-ndjson", body)
            .packed(self.compress)
            .with("idempotency-key", &idempotency_key(part));
        let Some(file) = &self.signing_key else { return Ok(request) };
        let time = now.secs().to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret(file)?.as_bytes());
        let mut signer = hmac::Context::with_key(&key);
        signer.update(time.as_bytes());
        signer.update(b".");
        signer.update(&request.body);
        let signature = format!("sha256={}", hex(signer.sign().as_ref()));
        let request = request.with("x-gatewatch-timestamp", &time);
        Ok(request.with("x-gatewatch-signature", &signature))
    }

    fn judge(&self, _: &Part<'_>, answer: &Answer) -> Verdict {
        match answer.status.as_u16() {
            200..=299 => Verdict::Taken,
            400 | 422 => Verdict::Halve,
            _ => by_status(answer.status),
        }
    }
}

/// Belongs to these records in this order, with so much of them.
fn idempotency_key(part: &Part<'_>) -> String {
    let mut hash = Sha256::new();
    for (entry, _) in part.entries() {
        hash.update(&entry.id);
        hash.update(b"\0");
    }
    if part.step != 0 {
        hash.update(part.step.to_le_bytes());
    }
    hex(&hash.finalize()[..16])
}
