//! The text of configurations made of words and blocks: nginx's files and Caddyfiles.
//!
//! Pure. Whatever the bytes are, the answer is the directives that could be told apart; nesting and
//! number are bounded, and what is beyond is left out.

/// A directive, with what stands between its braces.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Directive {
    /// Its line, from 1.
    pub(super) line: usize,
    /// Its words, quotes and escapes undone.
    pub(super) words: Vec<String>,
    /// Its block, where it has one.
    pub(super) block: Option<Vec<Self>>,
}

impl Directive {
    /// The word at `index`, or nothing.
    pub(super) fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }
}

/// Blocks in each other.
const MAX_DEPTH: usize = 32;

/// Directives of one file.
const MAX_DIRECTIVES: usize = 100_000;

/// What ends a directive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Style {
    /// nginx: `;` ends a directive.
    Nginx,
    /// Caddy: the end of the line does.
    Caddy,
}

enum Token {
    Word(String),
    /// A quoted word: never a brace.
    Quoted(String),
    Open,
    Close,
    End,
}

/// Reads a whole file.
pub(super) fn parse(text: &[u8], style: Style) -> Vec<Directive> {
    let mut tokens = Tokens { text, at: 0, line: 1, style };
    let mut open: Vec<(Directive, Vec<Directive>)> = Vec::new();
    let mut done: Vec<Directive> = Vec::new();
    let mut now = Directive::default();
    let mut count = 0;
    while let Some((line, token)) = tokens.next_token() {
        match token {
            Token::Word(word) | Token::Quoted(word) => {
                if now.words.is_empty() {
                    now.line = line;
                }
                now.words.push(word);
                continue;
            }
            Token::Open if now.word(0).ends_with("_by_lua_block") => {
                tokens.skip_code();
                now = Directive::default();
                continue;
            }
            Token::Open => {
                if now.words.is_empty() {
                    now.line = line;
                }
                if open.len() < MAX_DEPTH {
                    open.push((std::mem::take(&mut now), std::mem::take(&mut done)));
                } else {
                    now = Directive::default();
                }
                continue;
            }
            Token::End => (),
            Token::Close => {
                push(&mut done, std::mem::take(&mut now), &mut count);
                if let Some((mut block, outer)) = open.pop() {
                    block.block = Some(std::mem::replace(&mut done, outer));
                    now = block;
                }
            }
        }
        push(&mut done, std::mem::take(&mut now), &mut count);
    }
    push(&mut done, now, &mut count);
    // A file that breaks off: what is open ends here.
    while let Some((mut block, outer)) = open.pop() {
        block.block = Some(std::mem::replace(&mut done, outer));
        push(&mut done, block, &mut count);
    }
    done
}

fn push(done: &mut Vec<Directive>, directive: Directive, count: &mut usize) {
    let is_something = !directive.words.is_empty() || directive.block.is_some();
    if is_something && *count < MAX_DIRECTIVES {
        *count += 1;
        done.push(directive);
    }
}

struct Tokens<'t> {
    text: &'t [u8],
    at: usize,
    line: usize,
    style: Style,
}

impl Tokens<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn bump(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        self.line += usize::from(byte == b'\n');
        Some(byte)
    }

    fn next_token(&mut self) -> Option<(usize, Token)> {
        loop {
            let line = self.line;
            match self.peek()? {
                b'\n' if self.style == Style::Caddy => {
                    self.bump();
                    return Some((line, Token::End));
                }
                // In a Caddyfile a backslash joins the next line.
                b'\\'
                    if self.style == Style::Caddy && self.text.get(self.at + 1) == Some(&b'\n') =>
                {
                    self.bump();
                    self.bump();
                }
                byte if byte.is_ascii_whitespace() => {
                    self.bump();
                }
                b'#' => {
                    while self.peek().is_some_and(|byte| byte != b'\n') {
                        self.bump();
                    }
                }
                b';' if self.style == Style::Nginx => {
                    self.bump();
                    return Some((line, Token::End));
                }
                b'{' if self.style == Style::Nginx || self.stands_alone() => {
                    self.bump();
                    return Some((line, Token::Open));
                }
                b'}' if self.style == Style::Nginx || self.stands_alone() => {
                    self.bump();
                    return Some((line, Token::Close));
                }
                quote @ (b'"' | b'\'') if quote == b'"' || self.style == Style::Nginx => {
                    self.bump();
                    return Some((line, Token::Quoted(self.quoted(quote))));
                }
                b'`' if self.style == Style::Caddy => {
                    self.bump();
                    return Some((line, Token::Quoted(self.raw())));
                }
                _ => return Some((line, Token::Word(self.word()))),
            }
        }
    }

    /// A Caddyfile has braces inside words, for placeholders.
    fn stands_alone(&self) -> bool {
        self.text.get(self.at + 1).is_none_or(u8::is_ascii_whitespace)
    }

    fn quoted(&mut self, quote: u8) -> String {
        let mut out = Vec::new();
        while let Some(byte) = self.bump() {
            match byte {
                _ if byte == quote => break,
                b'\\' => self.escape(&mut out),
                _ => out.push(byte),
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    fn raw(&mut self) -> String {
        let mut out = Vec::new();
        while let Some(byte) = self.bump().filter(|byte| *byte != b'`') {
            out.push(byte);
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    fn word(&mut self) -> String {
        let mut out = Vec::new();
        while let Some(byte) = self.peek() {
            let ends = match byte {
                b';' => self.style == Style::Nginx,
                // `${name}` goes on.
                b'{' => self.style == Style::Nginx && out.last() != Some(&b'$'),
                _ => byte.is_ascii_whitespace(),
            };
            if ends {
                break;
            }
            self.bump();
            match byte {
                b'\\' if self.style == Style::Nginx => self.escape(&mut out),
                _ => out.push(byte),
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    /// What a backslash makes of the byte behind it.
    fn escape(&mut self, out: &mut Vec<u8>) {
        match self.bump() {
            Some(b't') if self.style == Style::Nginx => out.push(b'\t'),
            Some(b'n') if self.style == Style::Nginx => out.push(b'\n'),
            Some(b'r') if self.style == Style::Nginx => out.push(b'\r'),
            Some(byte @ (b'"' | b'\'' | b'\\')) => out.push(byte),
            Some(byte) => out.extend([b'\\', byte]),
            None => out.push(b'\\'),
        }
    }

    /// Passes over code in another language up to the brace that ends it.
    fn skip_code(&mut self) {
        let mut depth = 1usize;
        while let Some(byte) = self.bump() {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => (),
            }
            if depth == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(directives: &[Directive]) -> String {
        let shown = directives.iter().map(|one| {
            let block = one.block.as_ref().map(|block| format!(" {{{}}}", words(block)));
            format!("{}:{}{}", one.line, one.words.join("|"), block.unwrap_or_default())
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn quotes_escapes_comments_and_blocks_of_nginx() {
        let text = b"a b; # c;\nlog_format x '$a \"$b\"'\n 'it\\'s' \"q\\\"\";\nhttp { server {\n} d \"}\"; }";
        assert_eq!(
            "1:a|b 2:log_format|x|$a \"$b\"|it's|q\" 4:http {4:server {} 5:d|}}",
            words(&parse(text, Style::Nginx))
        );
        assert_eq!("1:a|${b}c {1:e}", words(&parse(b"a ${b}c{e;}", Style::Nginx)));
        let lua = b"content_by_lua_block { if a then { b = \"x\" } end } c;";
        assert_eq!("1:c", words(&parse(lua, Style::Nginx)));
    }

    #[test]
    fn a_file_that_breaks_off_keeps_what_it_had() {
        assert_eq!("1:http {1:server {1:a|b}}", words(&parse(b"http{server{a b", Style::Nginx)));
        assert_eq!("1:a", words(&parse(b"}}} a;", Style::Nginx)));
        assert_eq!("1:a|open", words(&parse(b"a \"open", Style::Nginx)));
    }

    #[test]
    fn lines_end_directives_of_caddy() {
        let text = b"example.org, www.example.org {\n log {\n  output file /var/log/a.log\n }\n header X {env.Y}\n}\n";
        assert_eq!(
            "1:example.org,|www.example.org {2:log {3:output|file|/var/log/a.log} 5:header|X|{env.Y}}",
            words(&parse(text, Style::Caddy))
        );
    }

    #[test]
    fn many_braces_are_no_tower() {
        let deep = parse(&b"a{".repeat(100_000), Style::Nginx);
        assert!(!deep.is_empty());
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_are_they_are_read(
            text in proptest::collection::vec(
                prop_oneof![any::<u8>(), proptest::sample::select(&b"{};\"'#\\$ \na`"[..])], 0..200),
        ) {
            for style in [Style::Nginx, Style::Caddy] {
                for directive in parse(&text, style) {
                    prop_assert!(directive.line <= 1 + text.len());
                }
            }
        }
    }
}
