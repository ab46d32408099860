//! The general one: the alert's line of the alert log, by POST.
//!
//! Any 2xx says that it was taken. `Idempotency-Key` is the same where the same transition comes
//! again. With a key, `X-Gatewatch-Signature` is `sha256=` and, in hexadecimal, HMAC-SHA-256 over
//! the value of `X-Gatewatch-Timestamp` (seconds since 1970), a full stop, and the body: the same
//! form as that of the HTTP sink.

use ring::hmac;

use super::told::Matter;
use super::{Failure, Letter, Parcel};
use crate::engine::render::alert::{alert_json, transition_id};
use crate::engine::text::hex;

pub(super) fn render(letter: &Letter<'_>) -> Result<Parcel, Failure> {
    let mut parcel = Parcel::json(letter, line(letter.matter));
    parcel.headers.push(("idempotency-key", transition_id(letter.matter.alert())));
    let Some(key) = letter.key()? else { return Ok(parcel) };
    let time = letter.now.secs().to_string();
    let signature = signature(&key, &time, &parcel.body);
    parcel.headers.push(("x-gatewatch-timestamp", time));
    parcel.headers.push(("x-gatewatch-signature", signature));
    Ok(parcel)
}

/// The same bytes as in the alert log, without the end of the line.
pub(super) fn line(matter: Matter<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    alert_json(matter.alert(), &mut line);
    line
}

fn signature(key: &str, time: &str, body: &[u8]) -> String {
    let mut signer = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()));
    signer.update(time.as_bytes());
    signer.update(b".");
    signer.update(body);
    format!("sha256={}", hex(signer.sign().as_ref()))
}
