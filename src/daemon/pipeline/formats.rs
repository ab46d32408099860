//! Which format the lines of a block are read with.

use jiff::tz::TimeZone;

use super::Pipeline;
use crate::engine::format::{SAMPLE_LINES, detect_after, directives_of, with_state};
use crate::engine::time::TimeReader;
use crate::source::Block;

impl Pipeline {
    /// The definition in force at the first line of `block`.
    pub(super) fn definition_at(&mut self, block: &Block) -> String {
        let id = block.generation;
        let known = self.states.get(&id.0).cloned();
        let mut told = known.unwrap_or_else(|| self.told_before(block));
        if self.choose_format(block, &told) && told.is_empty() {
            // The format before may not have listened.
            told = self.told_before(block);
        }
        let definition = with_state(&self.formats[block.source].definition, &told);
        self.states.insert(id.0, told);
        definition
    }

    /// What is known of the lines before `block` from the store, or else from the file.
    fn told_before(&self, block: &Block) -> String {
        match self.follower.note(block.generation) {
            "" if block.from == 0 => String::new(),
            "" => directives_of(&self.follower.lines_before(block.generation, block.from)),
            note => note.to_owned(),
        }
    }

    /// Lets the formats vote while few lines were seen, and again when too many are not read.
    /// True when another format was chosen.
    fn choose_format(&mut self, block: &Block, told: &str) -> bool {
        let format = &mut self.formats[block.source];
        if format.fixed {
            return false;
        }
        let misread = self.readings.get(&block.source).is_some_and(|reading| {
            50 <= reading.lines && reading.lines < 5 * reading.misses.iter().sum::<u64>()
        });
        if SAMPLE_LINES <= format.seen && !misread {
            return false;
        }
        let zone = TimeZone::get(&format.zone).unwrap_or(TimeZone::UTC);
        let mut times = TimeReader::new(zone, block.modified);
        let definition = detect_after(told, &block.bytes, &mut times);
        let is_other = definition != format.definition;
        if is_other || format.seen == 0 {
            let shown = definition.strip_prefix("auto:").unwrap_or(&definition);
            tracing::info!("{} is read as {shown}", format.name);
        }
        format.seen += memchr::memchr_iter(b'\n', &block.bytes).count();
        format.definition = definition;
        is_other
    }
}
