//! GELF over HTTP, as Graylog's input takes it: one message a request, or one a line where its
//! bulk receiving is enabled.
//!
//! Graylog answers 202 before it has looked at a message. What it makes of it, and whether its
//! journal keeps it, cannot be learned here.

use super::Api;
use super::batch::Part;
use super::client::{Answer, Request};
use super::config::HttpConfig;
use super::deliver::{Verdict, by_status};
use crate::sink::SinkError;
use crate::units::Timestamp;

/// The interface.
#[derive(Debug)]
pub(super) struct Gelf {
    path: String,
    bulk: bool,
    compress: bool,
}

impl Gelf {
    pub(super) fn open(config: &HttpConfig) -> Box<dyn Api> {
        let path = config.url.below("/gelf");
        Box::new(Self { path, bulk: config.bulk, compress: config.compress })
    }
}

impl Api for Gelf {
    fn most(&self) -> usize {
        if self.bulk { usize::MAX } else { 1 }
    }

    fn request(&self, part: &Part<'_>, _: Timestamp) -> Result<Request, SinkError> {
        let records: Vec<&[u8]> = part.entries().map(|(_, record)| record).collect();
        let body = records.join(&b'\n');
        Ok(Request::new(self.path.clone(), "application/json", body).packed(self.compress))
    }

    fn judge(&self, _: &Part<'_>, answer: &Answer) -> Verdict {
        match answer.status.as_u16() {
            200 | 202 | 204 => Verdict::Taken,
            _ => by_status(answer.status),
        }
    }
}
