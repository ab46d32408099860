//! The key of a sink's tokens: makes them, and seals what they stand for.
//!
//! A token is HMAC-SHA-256 over its kind and the value, cut to 80 bits. What it stands for is sealed
//! with ChaCha20-Poly1305 and bound to it. The nonce is a second HMAC over the token: the same nonce
//! comes only with the same token, which comes only with the same value.
//!
//! Invariant: without the key neither the value nor a guess at it can be checked against a token. The
//! key is never shown.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac::{HMAC_SHA256, Key, sign};

/// Name of the systemd credential that holds the secret.
const CREDENTIAL: &str = "privacy-key";

/// The shortest secret that cannot be guessed.
const SECRET_BYTES_MIN: usize = 32;

/// No secret is longer: a wrong file should be told, not read.
const SECRET_BYTES_MAX: u64 = 4096;

/// What a token stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TokenKind {
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A network of IPv6 addresses: what rules take for one client.
    Network,
    /// The name of a client's host.
    Host,
    /// A user.
    User,
    /// The id of an alert.
    Alert,
}

impl TokenKind {
    /// How such a token begins. An alert's keeps the form of the id.
    fn prefix(self) -> &'static str {
        match self {
            Self::Ipv4 => "ip4-",
            Self::Ipv6 => "ip6-",
            Self::Network => "net6-",
            Self::Host => "host-",
            Self::User => "user-",
            Self::Alert => "",
        }
    }
}

/// Why there is no key, and what helps.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Nobody says where it is.
    #[error(
        "tokens need a key: write `privacy.key_file`, or give the systemd credential `privacy-key`"
    )]
    Missing,
    /// The file cannot be read.
    #[error("cannot read the key {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason the operating system gave.
        source: io::Error,
    },
    /// Others may read it.
    #[error("the key {path} has mode {mode:04o}: others may read it; chmod 0600 it")]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It could be guessed, or is no key at all.
    #[error(
        "the key {path} must have 32 to 4096 bytes; make one with: openssl rand -hex 32 > FILE"
    )]
    Length {
        /// The file.
        path: PathBuf,
    },
}

/// Makes tokens and opens what was sealed.
#[derive(Clone)]
pub struct PrivacyKey {
    tokens: Key,
    nonces: Key,
    seal: LessSafeKey,
}

impl fmt::Debug for PrivacyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivacyKey")
    }
}

impl PrivacyKey {
    /// The key in `path`, which nobody but its owner may read.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Io { path: path.to_owned(), source };
        let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Open { path: path.to_owned(), mode });
        }
        Self::read_any(path)
    }

    /// The key of `file`, else the credential in `credentials`, which systemd guards.
    pub(super) fn find(file: Option<&Path>, credentials: Option<&Path>) -> Result<Self, KeyError> {
        match (file, credentials.map(|folder| folder.join(CREDENTIAL))) {
            (Some(file), _) => Self::read(file),
            (None, Some(credential)) if credential.exists() => Self::read_any(&credential),
            (None, _) => Err(KeyError::Missing),
        }
    }

    fn read_any(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Io { path: path.to_owned(), source };
        let length = || KeyError::Length { path: path.to_owned() };
        if SECRET_BYTES_MAX < std::fs::metadata(path).map_err(failed)?.len() {
            return Err(length());
        }
        let bytes = std::fs::read(path).map_err(failed)?;
        let secret = bytes.trim_ascii_end();
        if secret.len() < SECRET_BYTES_MIN {
            return Err(length());
        }
        Ok(Self::of(secret))
    }

    /// The key that follows from `secret`, which has any length.
    pub(super) fn of(secret: &[u8]) -> Self {
        let secret = Key::new(HMAC_SHA256, secret);
        let part = |purpose: &str| sign(&secret, purpose.as_bytes());
        let key = |purpose: &str| Key::new(HMAC_SHA256, part(purpose).as_ref());
        let seal = UnboundKey::new(&CHACHA20_POLY1305, part("gatewatch seal 1").as_ref());
        Self {
            tokens: key("gatewatch token 1"),
            nonces: key("gatewatch nonce 1"),
            seal: LessSafeKey::new(seal.expect("both are 32 bytes")),
        }
    }

    /// The token of `value`.
    pub(super) fn token(&self, kind: TokenKind, value: &[u8]) -> String {
        let prefix = kind.prefix();
        let tag = sign(&self.tokens, &[prefix.as_bytes(), b"\0", value].concat());
        match kind {
            TokenKind::Alert => crate::engine::text::hex(&tag.as_ref()[..16]),
            _ => {
                let mut token = prefix.to_owned();
                push_base32(&mut token, &tag.as_ref()[..10]);
                token
            }
        }
    }

    /// Seals what `token` stands for.
    pub(super) fn seal(&self, token: &str, clear: &[u8]) -> Vec<u8> {
        let mut sealed = clear.to_vec();
        self.seal
            .seal_in_place_append_tag(self.nonce(token), Aad::from(token.as_bytes()), &mut sealed)
            .expect("a value is far below the 256 GiB that the cipher can seal");
        sealed
    }

    /// What `token` stands for; nothing where it was sealed with another key.
    pub fn open(&self, token: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = sealed.to_vec();
        let aad = Aad::from(token.as_bytes());
        let clear = self.seal.open_in_place(self.nonce(token), aad, &mut bytes).ok()?;
        Some(clear.to_vec())
    }

    fn nonce(&self, token: &str) -> Nonce {
        let tag = sign(&self.nonces, token.as_bytes());
        let bytes: &[u8; NONCE_LEN] = tag.as_ref().first_chunk().expect("a tag has 32 bytes");
        Nonce::assume_unique_for_key(*bytes)
    }
}

/// Five bits a digit, in digits that nobody mistakes for one another.
fn push_base32(out: &mut String, bytes: &[u8]) {
    let bit = |at: usize| bytes[at / 8] >> (7 - at % 8) & 1;
    for digit in 0..bytes.len() * 8 / 5 {
        let value = (0..5).fold(0, |value, at| value << 1 | bit(5 * digit + at));
        out.push(char::from(b"0123456789abcdefghjkmnpqrstvwxyz"[usize::from(value)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &str) -> PrivacyKey {
        PrivacyKey::of(secret.as_bytes())
    }

    #[test]
    fn a_token_is_the_same_for_the_same_value_and_key_only() {
        let token = key("a").token(TokenKind::User, b"alice");
        assert_eq!(token, key("a").token(TokenKind::User, b"alice"));
        assert!(token.starts_with("user-") && token.len() == 21, "{token}");
        for other in [
            key("b").token(TokenKind::User, b"alice"),
            key("a").token(TokenKind::User, b"Alice"),
            key("a").token(TokenKind::Host, b"alice").replace("host-", "user-"),
        ] {
            assert_ne!(token, other);
        }
        assert_eq!(32, key("a").token(TokenKind::Alert, b"bfb2").len());
    }

    #[test]
    fn only_the_same_key_opens_what_it_sealed_and_only_for_that_token() {
        let sealed = key("a").seal("user-0", b"alice");
        assert_eq!(Some(b"alice".to_vec()), key("a").open("user-0", &sealed));
        assert_eq!(None, key("b").open("user-0", &sealed));
        assert_eq!(None, key("a").open("user-1", &sealed));
        let mut damaged = sealed.clone();
        damaged[0] ^= 1;
        assert_eq!(None, key("a").open("user-0", &damaged));
        assert_eq!(None, key("a").open("user-0", b""));
        assert!(!sealed.windows(5).any(|part| part == b"alice"));
    }

    #[test]
    fn a_key_is_long_and_nobody_else_may_read_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let read = |text: &str, mode: u32| {
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
            PrivacyKey::read(&path)
        };
        let long = "0123456789abcdef0123456789abcdef";
        read(long, 0o400).expect("a key");
        let with_end = read(&format!("{long}\n"), 0o600).expect("a key");
        assert_eq!(key(long).token(TokenKind::Ipv4, b"x"), with_end.token(TokenKind::Ipv4, b"x"));
        let error = read(long, 0o640).expect_err("readable by a group").to_string();
        assert!(error.contains("mode 0640") && error.contains("chmod 0600"), "{error}");
        assert!(matches!(read("short", 0o600), Err(KeyError::Length { .. })));
        assert!(matches!(read(&long.repeat(129), 0o600), Err(KeyError::Length { .. })));
        let gone = PrivacyKey::read(&folder.path().join("none")).expect_err("no file");
        assert!(matches!(gone, KeyError::Io { .. }));
        assert!(matches!(PrivacyKey::find(None, None), Err(KeyError::Missing)));
        std::fs::rename(&path, folder.path().join(CREDENTIAL)).expect("renamed");
        std::fs::write(folder.path().join(CREDENTIAL), long).expect("written");
        PrivacyKey::find(None, Some(folder.path())).expect("the credential");
    }
}
