//! Sinks that send events over HTTP.

pub(in crate::sink) mod client;
mod url;

pub use url::{Url, UrlError};
