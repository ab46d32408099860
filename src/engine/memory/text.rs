//! Bytes of a log inside JSON: each byte is the character of its number, so that plain text stays
//! readable and nothing is lost.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// For `#[serde(with = …)]`.
pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&bytes.iter().copied().map(char::from).collect::<String>())
}

/// For `#[serde(with = …)]`; other characters are an error.
pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
    bytes.map_err(serde::de::Error::custom)
}

/// The key of an entry.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct Key(#[serde(with = "super::text")] pub(super) Vec<u8>);
