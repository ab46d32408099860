//! The text of Apache's configuration: directives of one line, and sections in angle brackets.
//!
//! Pure. Whatever the bytes are, the answer is the directives that could be told apart; nesting and
//! number are bounded.

/// A directive or a section.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Entry {
    /// Its line, from 1.
    pub(super) line: usize,
    /// Its name, lower-cased.
    pub(super) name: String,
    /// What stands behind the name, as written.
    pub(super) rest: String,
    /// What a section holds.
    pub(super) section: Option<Vec<Self>>,
}

/// Sections in each other.
const MAX_DEPTH: usize = 32;

/// Directives of one file.
const MAX_ENTRIES: usize = 100_000;

/// Reads a whole file.
pub(super) fn parse(text: &[u8]) -> Vec<Entry> {
    let text = String::from_utf8_lossy(text);
    let mut open: Vec<(Entry, Vec<Entry>)> = Vec::new();
    let mut done: Vec<Entry> = Vec::new();
    for (line, text) in joined(&text).into_iter().take(MAX_ENTRIES) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if let Some(name) = text.strip_prefix("</") {
            let name = name.trim_end_matches('>').trim().to_ascii_lowercase();
            // A section that was left open inside ends too.
            while open.iter().any(|(entry, _)| entry.name == name) {
                let Some((mut entry, outer)) = open.pop() else { break };
                let ends = entry.name == name;
                entry.section = Some(std::mem::replace(&mut done, outer));
                done.push(entry);
                if ends {
                    break;
                }
            }
        } else if let Some(inside) = text.strip_prefix('<') {
            let inside = inside.strip_suffix('>').unwrap_or(inside);
            if open.len() < MAX_DEPTH {
                open.push((entry(line, inside), std::mem::take(&mut done)));
            }
        } else {
            done.push(entry(line, text));
        }
    }
    while let Some((mut entry, outer)) = open.pop() {
        entry.section = Some(std::mem::replace(&mut done, outer));
        done.push(entry);
    }
    done
}

fn entry(line: usize, text: &str) -> Entry {
    let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let name = name.to_ascii_lowercase();
    Entry { line, name, rest: rest.trim().to_owned(), section: None }
}

/// Lines with their numbers; one that ends in a backslash goes on in the next.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (index, line) in text.lines().enumerate() {
        let (part, next) = match line.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        match lines.last_mut().filter(|_| goes_on) {
            Some((_, whole)) => whole.push_str(part),
            None => lines.push((index + 1, part.to_owned())),
        }
        goes_on = next;
    }
    lines
}

/// The arguments of a directive: blanks part, quotes join, a backslash escapes a quote or itself.
pub(super) fn arguments(text: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut chars = text.trim_start().chars().peekable();
    while let Some(first) = chars.peek().copied() {
        let quote = Some(first).filter(|char| matches!(char, '"' | '\''));
        if quote.is_some() {
            chars.next();
        }
        let mut argument = String::new();
        while let Some(char) = chars.next() {
            match (char, quote) {
                (_, Some(quote)) if char == quote => break,
                (_, None) if char.is_whitespace() => break,
                ('\\', _) if chars.peek().is_some_and(|n| *n == '\\' || Some(*n) == quote) => {
                    argument.extend(chars.next());
                }
                _ => argument.push(char),
            }
        }
        arguments.push(argument);
        while chars.next_if(|char| char.is_whitespace()).is_some() {}
    }
    arguments
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(entries: &[Entry]) -> String {
        let one = |entry: &Entry| {
            let inside = entry.section.as_ref().map(|section| format!(" [{}]", shown(section)));
            format!("{}:{} {}{}", entry.line, entry.name, entry.rest, inside.unwrap_or_default())
        };
        entries.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn sections_comments_and_lines_that_go_on() {
        let text = b"ServerName a # no comment\n# b\n<VirtualHost *:80>\n  CustomLog \\\n a b\n</VirtualHost>\nEnd";
        assert_eq!(
            "1:servername a # no comment, 3:virtualhost *:80 [4:customlog a b], 7:end ",
            shown(&parse(text))
        );
        assert_eq!("1:a  [2:b  [3:c ]]", shown(&parse(b"<A>\n<B>\nc")));
        assert_eq!("1:a  [2:b  [3:c ]], 5:d ", shown(&parse(b"<A>\n<B>\nc\n</A>\nd")));
        assert_eq!("2:a ", shown(&parse(b"</X>\na")));
    }

    #[test]
    fn arguments_are_parted_as_apache_does() {
        assert_eq!(["a", "b c", r#"%h "%r" \t"#], *arguments(r#"a  "b c" "%h \"%r\" \t""#));
        assert_eq!(["it\"s", "\\x"], *arguments(r#"'it"s' \\x"#));
        assert_eq!(["open"], *arguments("\"open"));
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_are_they_are_read(
            text in proptest::collection::vec(
                prop_oneof![any::<u8>(), proptest::sample::select(&b"<>/\\\"'#\n aA"[..])], 0..200),
        ) {
            for entry in parse(&text) {
                prop_assert!(entry.line <= 1 + text.len());
                arguments(&entry.rest);
            }
        }
    }
}
