//! From the bytes of a connection to messages: where each one begins and ends (RFC 6587).
//!
//! Pure, so that it can be tried with every way of cutting a stream: a message is the same however
//! the network has split it. Each message is framed as it says itself:
//!
//! - `LEN SP <…`: octet counting. The count is believed only before the `<` that opens every
//!   syslog message, so that a line which happens to begin with a number stays a line;
//! - otherwise up to a line feed, or a NUL. A NUL ends messages only as long as no line feed has
//!   ended one of this connection: text with a NUL in it cannot make two messages of one.
//!
//! A connection whose first message has neither a count nor a `<` sends plain lines. No count is
//! believed there: what such a line begins with may be text that a client of the server chose.
//!
//! Invariant: a message is handed out as one line. What is longer than the limit is cut and marked,
//! and never held in memory.

use memchr::{memchr, memchr2};

/// Digits of a count; a message of ten million octets is no log line.
const COUNT_DIGITS_MAX: usize = 7;

/// How a line feed within a message is shown, as rsyslog shows it: a message stays one line.
const LINE_FEED_SHOWN: &[u8] = b"#012";

/// Room for a trailer behind the longest line: CR LF.
const TRAILER_BYTES: usize = 2;

/// Whole lines as they are stored, ready to be handed on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Lines {
    /// The lines, each with a line feed, except those that were cut.
    pub bytes: Vec<u8>,
    /// Where lines end that were cut: they have no line feed.
    pub cuts: Vec<usize>,
}

impl Lines {
    /// Nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends a message as one line of at most `max` bytes; an empty one is none. `cut` says that
    /// its end is missing already.
    pub(super) fn push(&mut self, message: &[u8], max: usize, cut: bool) {
        // What stands where a message was cut is no trailer.
        let message = if cut { message } else { trimmed(message) };
        if message.is_empty() {
            return;
        }
        let start = self.bytes.len();
        let mut rest = message;
        while let Some(at) = memchr(b'\n', rest) {
            self.bytes.extend_from_slice(&rest[..at]);
            self.bytes.extend_from_slice(LINE_FEED_SHOWN);
            rest = &rest[at + 1..];
        }
        self.bytes.extend_from_slice(rest);
        if cut || max < self.bytes.len() - start {
            self.bytes.truncate(start + max);
            self.cuts.push(self.bytes.len());
        } else {
            self.bytes.push(b'\n');
        }
    }

    /// The lines of a text, each with a line feed or the end of the text behind it.
    pub(super) fn of_text(text: &[u8], max: usize) -> Self {
        let mut lines = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            lines.push(line, max, false);
        }
        lines
    }
}

/// The message without its trailer.
fn trimmed(message: &[u8]) -> &[u8] {
    let end = message.iter().rposition(|byte| !is_trailer(byte)).map_or(0, |last| last + 1);
    &message[..end]
}

fn is_trailer(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r' | b'\0')
}

/// Where in a message the stream stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Before its first byte, or behind some digits that may be a count.
    Start,
    /// In one whose length is known.
    Counted { left: usize },
    /// In one that ends with a trailer.
    Trailed,
}

/// Cuts the bytes of one connection into messages.
#[derive(Clone, Debug)]
pub struct Framer {
    line_bytes_max: usize,
    state: State,
    /// The message so far, no more of it than is kept.
    held: Vec<u8>,
    /// There was more of it.
    overlong: bool,
    /// Messages so far.
    messages: u64,
    /// The connection sends lines without a syslog header.
    plain: bool,
    line_feed_seen: bool,
}

impl Framer {
    /// A new connection.
    pub fn new(line_bytes_max: usize) -> Self {
        Self {
            line_bytes_max,
            state: State::Start,
            held: Vec::new(),
            overlong: false,
            messages: 0,
            plain: false,
            line_feed_seen: false,
        }
    }

    /// Messages that have ended.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// A message has begun and not ended.
    pub fn is_within(&self) -> bool {
        self.state != State::Start || !self.held.is_empty()
    }

    /// Takes the next bytes of the stream; whole messages go into `out`.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Lines) {
        while !bytes.is_empty() {
            let used = match self.state {
                State::Start => self.begin(bytes[0]),
                State::Counted { left } => self.take_counted(left, bytes, out),
                State::Trailed => self.take_trailed(bytes, out),
            };
            bytes = &bytes[used..];
        }
    }

    /// The stream has ended: what has come of a message is kept as a line.
    pub fn finish(&mut self, out: &mut Lines) {
        if self.is_within() {
            self.end(&[], out);
        }
    }

    /// Looks at a byte of a message's beginning; answers how many bytes were used.
    fn begin(&mut self, byte: u8) -> usize {
        match byte {
            // An empty message: some senders say so that they are alive.
            b'\n' | b'\r' | b'\0' if self.held.is_empty() => {
                self.line_feed_seen |= byte == b'\n';
                1
            }
            b'1'..=b'9' if self.held.is_empty() && !self.plain => self.hold(byte),
            b'0'..=b'9' if self.is_counting() && self.held.len() < COUNT_DIGITS_MAX => {
                self.hold(byte)
            }
            b' ' if self.is_counting() => self.hold(byte),
            b'<' if self.held.last() == Some(&b' ') => {
                self.state = State::Counted { left: self.count() };
                self.held.clear();
                0
            }
            _ => {
                let first = self.held.first().copied().unwrap_or(byte);
                self.plain |= self.messages == 0 && first != b'<';
                self.state = State::Trailed;
                0
            }
        }
    }

    /// What is held are digits.
    fn is_counting(&self) -> bool {
        self.held.last().is_some_and(u8::is_ascii_digit)
    }

    fn hold(&mut self, byte: u8) -> usize {
        self.held.push(byte);
        1
    }

    /// The number in the digits that are held.
    fn count(&self) -> usize {
        let digits = self.held.iter().filter(|byte| byte.is_ascii_digit());
        digits.fold(0, |count, digit| 10 * count + usize::from(digit - b'0'))
    }

    fn take_counted(&mut self, left: usize, bytes: &[u8], out: &mut Lines) -> usize {
        let used = left.min(bytes.len());
        if used == left {
            self.end(&bytes[..used], out);
        } else {
            self.keep(&bytes[..used]);
            self.state = State::Counted { left: left - used };
        }
        used
    }

    fn take_trailed(&mut self, bytes: &[u8], out: &mut Lines) -> usize {
        let trailer =
            if self.line_feed_seen { memchr(b'\n', bytes) } else { memchr2(b'\n', b'\0', bytes) };
        match trailer {
            Some(at) => {
                self.line_feed_seen |= bytes[at] == b'\n';
                self.end(&bytes[..at], out);
                at + 1
            }
            None => {
                self.keep(bytes);
                bytes.len()
            }
        }
    }

    /// The message ends with `rest`.
    fn end(&mut self, rest: &[u8], out: &mut Lines) {
        if self.held.is_empty() {
            out.push(rest, self.line_bytes_max, false);
        } else {
            self.keep(rest);
            out.push(&self.held, self.line_bytes_max, self.overlong);
        }
        self.held.clear();
        self.held.shrink_to(self.line_bytes_max);
        (self.state, self.overlong) = (State::Start, false);
        self.messages += 1;
    }

    /// Keeps a part of the message, as far as a line may be long.
    fn keep(&mut self, bytes: &[u8]) {
        let room = (self.line_bytes_max + TRAILER_BYTES).saturating_sub(self.held.len());
        let (kept, dropped) = bytes.split_at(room.min(bytes.len()));
        self.held.extend_from_slice(kept);
        // A trailer of any length makes no line longer.
        self.overlong |= !dropped.iter().all(is_trailer);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 24;

    #[test]
    fn a_long_trailer_cuts_nothing_and_a_cut_is_no_trailer() {
        let long = [&b"<34>1 a"[..], &[b'\r'; 90]].concat();
        let more = [&long[..], b"x\n"].concat();
        for step in [1, 5, 200] {
            let pieces: Vec<&[u8]> = long.chunks(step).collect();
            assert_eq!(["<34>1 a"], *lines(&pieces), "{step}");
            let pieces: Vec<&[u8]> = more.chunks(step).collect();
            assert_eq!([format!("<34>1 a{}…", "\r".repeat(17))], *lines(&pieces), "{step}");
        }
    }

    /// All lines of a stream that comes in these pieces; a cut one ends with `…`.
    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut framer = Framer::new(MAX);
        let mut out = Lines::default();
        for piece in pieces {
            framer.push(piece, &mut out);
        }
        framer.finish(&mut out);
        assert!(!framer.is_within());
        shown(&out)
    }

    fn shown(lines: &Lines) -> Vec<String> {
        let mut shown = Vec::new();
        let mut start = 0;
        while start < lines.bytes.len() {
            let cut = lines.cuts.iter().find(|cut| start < **cut);
            let feed = memchr(b'\n', &lines.bytes[start..]).map(|at| start + at);
            let (end, next, mark) = match (cut, feed) {
                (Some(cut), None) => (*cut, *cut, "…"),
                (Some(cut), Some(feed)) if *cut <= feed => (*cut, *cut, "…"),
                (_, Some(feed)) => (feed, feed + 1, ""),
                (None, None) => panic!("a line without an end"),
            };
            shown.push(format!("{}{mark}", String::from_utf8_lossy(&lines.bytes[start..end])));
            start = next;
        }
        shown
    }

    #[track_caller]
    fn check(stream: &[u8], expected: &[&str]) {
        assert_eq!(expected, lines(&[stream]), "at once");
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(expected, lines(&bytes), "byte by byte");
    }

    #[test]
    fn each_message_says_how_it_is_framed() {
        check(b"<34>one\n<34>two\r\n<34>three\n", &["<34>one", "<34>two", "<34>three"]);
        check(b"7 <34>one7 <34>two", &["<34>one", "<34>two"]);
        check(b"7 <34>one<34>two\n7 <34>six", &["<34>one", "<34>two", "<34>six"]);
        check(b"<34>one\0<34>two\0", &["<34>one", "<34>two"]);
        check(b"8 <34>one\n7 <34>two", &["<34>one", "<34>two"]);
    }

    #[test]
    fn a_line_feed_within_a_counted_message_makes_no_second_one() {
        check(b"14 <34>one\n<0>two", &["<34>one#012<0>two"]);
        check(b"9 <34>one\r\n6 <0>two", &["<34>one", "<0>two"]);
    }

    #[test]
    fn a_number_at_the_start_of_a_line_is_no_count() {
        check(b"192.0.2.7 - - one\n200 two\n", &["192.0.2.7 - - one", "200 two"]);
        check(b"<34>one\n200 two\n200", &["<34>one", "200 two", "200"]);
        check(b"0 <34>one\n", &["0 <34>one"]);
        check(b"12345678 <34>one\n", &["12345678 <34>one"]);
        check(b"7  <34>one\n", &["7  <34>one"]);
        check(b"1 7 <34>one\n", &["1 7 <34>one"]);
    }

    #[test]
    fn plain_lines_cannot_become_counts() {
        // `$status $request`, and a client that sends `<` in place of a request.
        check(b"200 GET /\n400 <34>x\n200 GET /b\n", &["200 GET /", "400 <34>x", "200 GET /b"]);
    }

    #[test]
    fn a_nul_in_a_text_is_no_end_where_lines_end_with_line_feeds() {
        check(b"<34>one\n<34>a\0<0>b\n", &["<34>one", "<34>a\0<0>b"]);
        check(b"<34>one\0\n<34>a\0<0>b\n", &["<34>one", "<34>a\0<0>b"]);
    }

    #[test]
    fn empty_messages_are_none() {
        check(b"\n\r\n\0<34>one\n\n\n<34>two\n", &["<34>one", "<34>two"]);
    }

    #[test]
    fn what_is_too_long_is_cut_and_the_next_message_is_whole() {
        let long = [b"<34>".as_slice(), &[b'x'; 40]].concat();
        let cut = "<34>xxxxxxxxxxxxxxxxxxxx…";
        check(&[&long[..], b"\n<34>two\n"].concat(), &[cut, "<34>two"]);
        check(&[b"44 ", &long[..], b"7 <34>two"].concat(), &[cut, "<34>two"]);
        check(&[&long[..MAX], b"\r\n<34>two\n"].concat(), &[&cut[..MAX], "<34>two"]);
        let shown = "<34>xxxxxxxxxxxxxx#012xx…";
        check(b"22 <34>xxxxxxxxxxxxxx\nxxx7 <34>two", &[shown, "<34>two"]);
    }

    #[test]
    fn what_has_come_when_the_connection_ends_is_kept() {
        check(b"<34>one\n<34>tw", &["<34>one", "<34>tw"]);
        check(b"99 <34>one", &["<34>one"]);
        check(b"99 ", &["99 "]);
    }

    #[test]
    fn a_text_is_lines_whatever_they_end_with() {
        let lines = Lines::of_text(b"{\"a\":1}\r\n\n{\"b\":2}\n{\"c\":3}", MAX);
        assert_eq!(["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"], *shown(&lines));
    }

    fn message() -> impl Strategy<Value = Vec<u8>> {
        let text = prop_oneof!["[a-z <>0-9]{0,40}", "[\u{0}-\u{7f}]{0,12}", ".{0,8}"];
        (text, 0..5u8).prop_map(|(text, framing)| {
            let message = format!("<34>{text}");
            match framing {
                0 => format!("{} {message}", message.len()),
                1 => format!("{message}\0"),
                2 => format!("{message}\r\n"),
                3 => text,
                _ => format!("{message}\n"),
            }
            .into_bytes()
        })
    }

    proptest! {
        #[test]
        fn a_stream_means_the_same_however_it_is_split(
            messages in prop::collection::vec(message(), 0..12),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let stream = messages.concat();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
            prop_assert_eq!(lines(&[&stream]), lines(&pieces));
        }

        #[test]
        fn framed_messages_come_out_one_by_one(
            texts in prop::collection::vec("[a-z][a-z0-9 ]{0,10}[a-z]", 0..12),
            counted in prop::collection::vec(any::<bool>(), 12),
        ) {
            let texts: Vec<String> = texts.iter().map(|text| format!("<34>{text}")).collect();
            let frame = |(text, counted): (&String, &bool)| match counted {
                true => format!("{} {text}", text.len()),
                false => format!("{text}\n"),
            };
            let stream: String = texts.iter().zip(&counted).map(frame).collect();
            prop_assert_eq!(texts, lines(&[stream.as_bytes()]));
        }

        #[test]
        fn memory_is_bounded_and_nothing_panics(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let mut framer = Framer::new(MAX);
            let mut out = Lines::default();
            for piece in bytes.chunks(7) {
                framer.push(piece, &mut out);
                prop_assert!(framer.held.len() <= MAX + TRAILER_BYTES);
            }
            framer.finish(&mut out);
            for line in shown(&out) {
                // A replaced byte is three bytes long.
                prop_assert!(line.chars().count() <= MAX + 1);
            }
        }
    }
}
