//! Log text made safe to look at.
//!
//! A log holds what strangers sent: a path may carry terminal commands, a user name may reverse
//! the direction of the rest of its line, a host name may look like a link. Everything
//! for people shows such text through this module, and each output adds what its own syntax needs.
//!
//! Invariant: what leaves [`visible`] is one line of characters that have a shape of their own and
//! do nothing to their neighbours. It is for reading only: the exact bytes are in the log, at the
//! offset the report names, and in the JSON form.

use std::fmt::Write as _;
use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Characters that the standard library calls printable and that nobody can see.
const INVISIBLE: &[std::ops::RangeInclusive<char>] = &[
    '\u{034F}'..='\u{034F}',   // combining grapheme joiner
    '\u{115F}'..='\u{1160}',   // Hangul fillers
    '\u{17B4}'..='\u{17B5}',   // Khmer inherent vowels
    '\u{180B}'..='\u{180F}',   // Mongolian variation selectors
    '\u{2800}'..='\u{2800}',   // the Braille cell without a dot
    '\u{3164}'..='\u{3164}',   // Hangul filler
    '\u{FE00}'..='\u{FE0F}',   // variation selectors
    '\u{FFA0}'..='\u{FFA0}',   // halfwidth Hangul filler
    '\u{E0100}'..='\u{E01EF}', // more variation selectors
];

/// Accents in a row that are shown; a pile of them would cover the lines above.
const MARKS_MAX: usize = 2;

/// `text` with everything that is not plainly visible as `\n`, `\x1B` or `\u{202E}`.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut marks = 0;
    for character in text.chars() {
        let shown = is_visible(character);
        marks = if shown && is_mark(character) { marks + 1 } else { 0 };
        if shown && marks <= MARKS_MAX {
            out.push(character);
        } else {
            push_escape(&mut out, character);
        }
    }
    out
}

/// What begins a formula in a spreadsheet, in any width; white space may stand before it.
const FORMULA: &[char] = &['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// `text` for a cell of a table that a spreadsheet opens: on one line, and with an apostrophe in front
/// where it would be a formula, which is how one writes it by hand. Quotes are the table's business.
pub fn cell(text: &str) -> String {
    let shown = visible(text);
    if text.trim_start().starts_with(FORMULA) { format!("'{shown}") } else { shown }
}

/// Appends the escape of one character.
pub fn push_escape(out: &mut String, character: char) {
    let code = u32::from(character);
    let written = match character {
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        _ if code < 0x80 => write!(out, "\\x{code:02X}"),
        _ => write!(out, "\\u{{{code:04X}}}"),
    };
    written.expect("a string takes all that is written to it");
}

/// Writes a part of a JSON string that holds no quote, backslash or ASCII control (they are escaped by
/// JSON itself, RFC 8259 section 7): what is not plainly visible as `\u202e`. The same JSON, and safe to
/// look at.
pub fn write_json<W: io::Write + ?Sized>(writer: &mut W, fragment: &str) -> io::Result<()> {
    let mut rest = fragment;
    while let Some(at) = rest.find(|character| !is_visible(character)) {
        let (head, tail) = rest.split_at(at);
        let hidden = tail.chars().next().expect("found just now");
        writer.write_all(head.as_bytes())?;
        for unit in hidden.encode_utf16(&mut [0; 2]) {
            write!(writer, "\\u{unit:04x}")?;
        }
        rest = &tail[hidden.len_utf8()..];
    }
    writer.write_all(rest.as_bytes())
}

/// `value` as minified JSON without a line end, safe to look at by [`write_json`].
pub fn json_line(value: &impl Serialize) -> String {
    let mut out = Vec::new();
    push_json(&mut out, value);
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// Appends what [`json_line`] gives.
pub fn push_json(out: &mut Vec<u8>, value: &impl Serialize) {
    let mut serializer = Serializer::with_formatter(out, Shown);
    value.serialize(&mut serializer).expect("plain data with text keys, and memory takes it");
}

/// Minified JSON, its text written by [`write_json`].
struct Shown;

impl Formatter for Shown {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: io::Write + ?Sized,
    {
        write_json(writer, fragment)
    }
}

/// `text` so that no program turns it into a link: `http://` becomes `http[:]//`, `www.` becomes
/// `www[.]`.
pub fn unlinked(text: &str) -> String {
    let mut out = text.replace("://", "[:]//");
    // Byte positions are the same in both: only ASCII letters change.
    while let Some(at) = out.to_ascii_lowercase().find("www.") {
        out.replace_range(at + 3..at + 4, "[.]");
    }
    out
}

/// Columns that `character` takes on a terminal, at worst.
pub fn columns_of(character: char) -> usize {
    match character {
        '\u{1100}'..='\u{115F}'
        | '\u{2E80}'..='\u{A4CF}'
        | '\u{A960}'..='\u{A97F}'
        | '\u{AC00}'..='\u{D7FF}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{FE30}'..='\u{FE6F}'
        | '\u{FF00}'..='\u{FF60}'
        | '\u{FFE0}'..='\u{FFE6}'
        | '\u{1F000}'..='\u{10FFFF}' => 2,
        _ => 1,
    }
}

/// Columns that `text` takes on a terminal, at worst.
pub fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// The start of `text` that fits into `width` columns, with `…` where something was cut off.
pub fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let fits = |character: &char| {
        let taken = columns_of(*character);
        let fits = taken <= left;
        left = if fits { left - taken } else { 0 };
        fits
    };
    let mut out: String = text.chars().take_while(fits).collect();
    if 0 < width {
        out.push('…');
    }
    out
}

/// Whether `character` is plainly visible as it is.
pub fn is_visible(character: char) -> bool {
    if character.is_ascii() {
        return character == ' ' || character.is_ascii_graphic();
    }
    // The standard library's table of printable characters is private, but its debug form escapes
    // exactly the others; after a letter it lets accents through.
    let mut buffer = [b'a'; 5];
    let length = 1 + character.encode_utf8(&mut buffer[1..]).len();
    let pair = str::from_utf8(&buffer[..length]).unwrap_or_default();
    pair.escape_debug().count() == 2 && !INVISIBLE.iter().any(|range| range.contains(&character))
}

/// An accent that sits on the character before it.
fn is_mark(character: char) -> bool {
    !character.is_ascii() && character.escape_debug().count() != 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(expected, visible(text));
    }

    #[test]
    fn no_cell_is_a_formula_and_none_breaks_the_line() {
        for (text, expected) in [
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("  =1", "'  =1"),
            ("＝1", "'＝1"),
            ("plain=1", "plain=1"),
            ("", ""),
        ] {
            assert_eq!(expected, cell(text));
        }
        for text in ["\t=1", "\r=1", "\r\n@1"] {
            let cell = cell(text);
            assert!(cell.starts_with('\'') && !cell.contains(char::is_control), "{cell:?}");
        }
        assert!(!cell("a\nb\u{202e}c").contains(['\n', '\u{202e}']));
    }

    #[test]
    fn text_that_people_read_stays_as_it_is() {
        for text in
            ["/index.html?a=\"b\"&c='d'", "josé", "/日本語/ページ", "C:\\logs", "👍", "हिन्दी"]
        {
            check(text, text);
        }
    }

    #[test]
    fn terminal_commands_are_shown_and_not_obeyed() {
        check("\x1b[2J\x1b]0;owned\x07", "\\x1B[2J\\x1B]0;owned\\x07");
        check("a\u{9b}31mb\x7f", "a\\u{009B}31mb\\x7F");
        check("one\ntwo\r\tthree", "one\\ntwo\\r\\tthree");
    }

    #[test]
    fn what_reverses_or_hides_text_is_shown() {
        check("exe.\u{202e}gpj", "exe.\\u{202E}gpj");
        check("a\u{2066}b\u{2069}", "a\\u{2066}b\\u{2069}");
        check("adm\u{200b}in", "adm\\u{200B}in");
        check("admin\u{fe0f}", "admin\\u{FE0F}");
        check("a\u{2028}b\u{feff}\u{e0041}", "a\\u{2028}b\\u{FEFF}\\u{E0041}");
        check("\u{3164}\u{2800}", "\\u{3164}\\u{2800}");
    }

    #[test]
    fn accents_do_not_pile_up() {
        check("e\u{301}", "e\u{301}");
        check("e\u{301}\u{302}\u{303}\u{304}", "e\u{301}\u{302}\\u{0303}\\u{0304}");
    }

    #[test]
    fn log_text_never_looks_like_a_link() {
        assert_eq!("http[:]//evil.example.org/", unlinked("http://evil.example.org/"));
        assert_eq!("WWW[.]example.org www[.]b", unlinked("WWW.example.org www.b"));
        assert_eq!("/index.html", unlinked("/index.html"));
    }

    #[test]
    fn cutting_counts_columns_and_says_that_it_cut() {
        assert_eq!("abcdef", cut("abcdef", 6));
        assert_eq!("abcd…", cut("abcdef", 5));
        assert_eq!("日本…", cut("日本語ペ", 6));
        assert_eq!("日…", cut("日本語", 4));
        assert_eq!("", cut("abc", 0));
    }

    proptest! {
        #[test]
        fn whatever_comes_in_nothing_active_comes_out(text in "\\PC{0,40}|.{0,40}|[\\x00-\\x1f]{0,9}") {
            let shown = visible(&text);
            prop_assert!(!shown.chars().any(char::is_control));
            prop_assert!(!shown.contains(|c: char| matches!(u32::from(c),
                0x202a..=0x202e | 0x2066..=0x2069 | 0x200b..=0x200f | 0xfeff | 0x061c)));
            prop_assert_eq!(&shown, &visible(&shown), "showing twice changes nothing");
            let cut = cut(&shown, 10);
            prop_assert!(columns(&cut) <= 10);
        }
    }
}
