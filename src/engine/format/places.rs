//! Where the values of a line stand, for whoever explains how it was read.

use std::ops::Range;
use std::sync::Arc;

use super::{Context, Format};
use crate::engine::batch::EventBatch;

/// A value of a line, as the definition of its format has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Column {
    /// What the definition calls it: `$status`, `%>s`.
    pub name: String,
    /// Its bytes in the line.
    pub range: Range<usize>,
    /// The ECS name of what it sets, where that is no text field.
    pub sets: Option<&'static str>,
}

impl Format {
    /// Where the values of a line stand; empty for a format that is no template, or a line that it
    /// does not read.
    pub fn columns(&self, line: &[u8], cx: &mut Context<'_>) -> Vec<Column> {
        let Self::Template(template) = self else { return Vec::new() };
        let mut batch = EventBatch::default();
        batch.refill(Arc::default(), line.to_vec());
        let (raw, mut out) = batch.open();
        template.columns(raw, cx, &mut out).unwrap_or_default()
    }
}
