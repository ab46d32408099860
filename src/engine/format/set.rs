//! The formats of one source: its own, and all others for the odd line.
//!
//! A line is read by the format of the file; what that does not read whole is offered to the others,
//! bare and inside wrappers, and what nobody reads to the last resort.

use std::borrow::Cow;
use std::sync::Arc;

use super::definition::{FormatError, base_of, state_of, with_state};
use super::w3c::{self, W3c};
use super::wrapper::Wrapper;
use super::{Context, FORMATS, Format, Miss};
use crate::engine::batch::{Field, Module, Writer};

/// What a format that is told its columns by the file knows at some place in the file; nothing for
/// any other format. Of no use to another format than the one it is from.
#[derive(Clone, Debug, Default)]
pub struct FormatState(Option<Arc<w3c::State>>);

/// The format of a source: one, or the one that was detected with all others behind it for the
/// odd line; and what stands around each line.
#[derive(Clone, Debug)]
pub struct FormatSet {
    definition: String,
    /// Around nearly every line.
    wrapper: Option<Wrapper>,
    primary: Format,
    others: Vec<Format>,
    /// Asked when nobody else reads a line, in whatever wrapper.
    last: Option<Format>,
    /// The line inside a wrapper, where escapes had to be undone.
    scratch: Vec<u8>,
}

impl FormatSet {
    /// Makes the set of a stored definition: `auto:combined`, a name of [`FORMATS`], either with
    /// a wrapper before the name (`auto:docker>combined`), `written:…`, `fields:…` or `regex:…`. Behind a
    /// name, `#` and what [`state_of`] answered may follow.
    pub fn from_definition(definition: &str) -> Result<Self, FormatError> {
        let base = base_of(definition);
        let mut wrapper = None;
        let mut unwrapped = |text| {
            let (cut, name) = Wrapper::cut(text);
            wrapper = cut;
            name
        };
        let (mut primary, mut others) = match base.split_once(':') {
            Some(("auto", text)) => {
                let name = unwrapped(text);
                (Format::named(name)?, all_but(name))
            }
            Some(("written", text)) => (Format::written(text)?, Vec::new()),
            Some(("fields", text)) => (Format::fields(text)?, Vec::new()),
            Some(("regex", pattern)) => (Format::regex(pattern)?, Vec::new()),
            _ => (Format::named(unwrapped(base))?, Vec::new()),
        };
        if let Format::W3c(w3c) = &mut primary {
            *w3c = W3c::with_state(state_of(definition));
        }
        let definition = base.to_owned();
        let last = others.pop_if(|format| format.is_last_resort());
        Ok(Self { definition, wrapper, primary, others, last, scratch: Vec::new() })
    }

    /// The text that makes the same set again, with what its lines have told so far.
    pub fn definition(&self) -> Cow<'_, str> {
        match &self.primary {
            Format::W3c(w3c) if !w3c.state().text().is_empty() => {
                Cow::Owned(with_state(&self.definition, w3c.state().text()))
            }
            _ => Cow::Borrowed(&self.definition),
        }
    }

    /// What the lines read so far have told about those that follow.
    pub fn state(&self) -> FormatState {
        FormatState(match &self.primary {
            Format::W3c(w3c) => Some(Arc::clone(w3c.state())),
            _ => None,
        })
    }

    /// Goes on as if the lines before were those that led to `state`.
    pub fn set_state(&mut self, state: &FormatState) {
        if let (Format::W3c(w3c), FormatState(Some(state))) = (&mut self.primary, state) {
            w3c.set_state(state);
        }
    }

    /// Takes in what the lines of `bytes` tell about those that follow, as reading them would.
    pub fn skim(&mut self, bytes: &[u8]) {
        if let Format::W3c(w3c) = &mut self.primary {
            w3c.skim(bytes);
        }
    }

    /// Something stands around each line.
    pub fn is_wrapped(&self) -> bool {
        self.wrapper.is_some()
    }

    /// The program family and the name of the file's own format: what a line that no format reads
    /// is taken to have been.
    pub fn identity(&self) -> (Module, &'static str) {
        self.primary.identity()
    }

    /// Reads one line; the row is reset after a miss.
    pub fn parse(
        &mut self,
        line: &[u8],
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<(), Miss> {
        let Err(miss) = self.parse_well(line, cx, out) else { return Ok(()) };
        out.reset();
        let last = self.last.as_mut().filter(|_| self.wrapper.is_none());
        let read = last.map_or(Err(miss), |last| last.parse(line, cx, out));
        read.map_err(|_| out.reset()).map_err(|()| miss)
    }

    /// Reads a line by any format but the last.
    fn parse_well(
        &mut self,
        line: &[u8],
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<(), Miss> {
        if let Some(wrapper) = self.wrapper
            && self.parse_inside(wrapper, line, cx, out).is_ok()
        {
            return Ok(());
        }
        let miss = match self.parse_bare(line, cx, out) {
            Ok(()) => return Ok(()),
            Err(miss) => miss,
        };
        // What is inside a line of a file that names its columns must not name others.
        if matches!(self.primary, Format::W3c(_)) {
            return Err(miss);
        }
        // An odd line may be wrapped where the others are not, or in another way.
        for wrapper in Wrapper::ALL {
            if Some(wrapper) != self.wrapper && self.parse_inside(wrapper, line, cx, out).is_ok() {
                return Ok(());
            }
        }
        Err(miss)
    }

    /// Reads the line inside a wrapper.
    fn parse_inside(
        &mut self,
        wrapper: Wrapper,
        line: &[u8],
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<(), Miss> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let read = match wrapper.unwrap(line, cx.times, &mut scratch) {
            Some(envelope) => {
                let read = self.parse_bare(envelope.message, cx, out);
                if read.is_ok() {
                    envelope.complete(out);
                }
                read
            }
            None => Err(Miss::Shape),
        };
        self.scratch = scratch;
        read
    }

    /// Reads a line as it is.
    fn parse_bare(
        &mut self,
        line: &[u8],
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<(), Miss> {
        let primary = self.primary.parse(line, cx, out);
        let is_whole = primary.is_ok() && !out.has(Field::Trailing);
        if self.others.is_empty() || (is_whole && !self.primary.is_last_resort()) {
            if primary.is_err() {
                out.reset();
            }
            return primary;
        }
        // A line of another format in the same file: whoever reads it without a rest is right,
        // then the format of the file, then whoever reads it at all.
        let mut with_rest = None;
        for (index, format) in self.others.iter_mut().enumerate() {
            out.reset();
            if format.parse(line, cx, out).is_ok() {
                if !out.has(Field::Trailing) {
                    return Ok(());
                }
                with_rest.get_or_insert(index);
            }
        }
        out.reset();
        match with_rest {
            Some(index) if primary.is_err() => self.others[index].parse(line, cx, out),
            _ if primary.is_ok() => self.primary.parse(line, cx, out),
            _ => primary,
        }
    }
}

/// All formats but one, those first that read most, so that the last resort is the last.
fn all_but(name: &str) -> Vec<Format> {
    // A client can write whole lines into nginx's error log: a log-in found there proves nothing.
    let no_log_ins: &[&str] = if name == "nginx_error" { &["auth", "app"] } else { &[] };
    let others = FORMATS.iter().filter(|it| it.name != name && !no_log_ins.contains(&it.name));
    let others = others.filter_map(|entry| (entry.build)().ok());
    // What lines tell belongs to the format of the file: no other listens to them.
    let mut others: Vec<Format> = others.filter(|one| !matches!(one, Format::W3c(_))).collect();
    others.sort_by_key(|format| std::cmp::Reverse(format.captures()));
    others
}
