//! Pure and synchronous: bytes in, events, counts and alerts out. No file, no socket, no clock.

pub mod address;
pub mod answer;
pub mod attendance;
pub mod batch;
pub mod detect;
pub mod enrich;
pub mod feed;
pub mod field;
pub mod format;
pub mod json;
pub mod members;
pub mod memory;
pub mod parse;
pub mod redact;
pub mod render;
pub mod request;
pub mod rhythm;
pub mod stamp;
pub mod tally;
pub mod text;
pub mod time;
pub mod vocabulary;
