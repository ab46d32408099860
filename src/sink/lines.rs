//! Events as lines, for every sink that hands lines over: one record, one line feed.

use super::{Chosen, Rendered, SinkCommon, SinkContext};
use crate::engine::detect::Alert;
use crate::engine::render::{Encoder, Encoding, Shrink};
use crate::units::Timestamp;

/// Writes lines.
#[derive(Debug)]
pub(super) struct Lines {
    encoder: Encoder,
}

impl Lines {
    pub(super) fn new(encoding: Encoding, common: &SinkCommon, context: &SinkContext) -> Self {
        let encoder = Encoder::new(encoding, &context.agent, common.keep_original)
            .showing_secrets(common.show_secrets);
        Self { encoder }
    }

    /// The line that goes before all others, for encodings that have one.
    pub(super) fn header(&self) -> Vec<u8> {
        let header = self.encoder.entry().header;
        header.map(|names| format!("{names}\n").into_bytes()).unwrap_or_default()
    }

    pub(super) fn render(
        &self,
        chosen: Chosen<'_>,
        from: usize,
        created: Timestamp,
        out: &mut Rendered,
    ) -> usize {
        let encoder = self.encoder.open(&chosen.batch().origin);
        let mut next = from;
        for event in chosen.events(from) {
            if out.is_full() {
                break;
            }
            next += 1;
            for record in encoder.records(&event) {
                encoder.render(&record, created, &mut out.bytes);
                out.bytes.push(b'\n');
                out.end_message();
            }
            out.events += 1;
        }
        next
    }

    pub(super) fn render_alert(&self, alert: &Alert, out: &mut Rendered) {
        self.encoder.render_alert(alert, Shrink::NONE, &mut out.bytes);
        out.bytes.push(b'\n');
        out.end_message();
        out.alerts += 1;
    }
}
