//! A `log_format` or `LogFormat` that writes JSON: its keys, each with the meaning of the variable
//! behind it. Lines are then read as JSON, so that neither the order of keys nor an escaped quote
//! matters.

use super::super::capture::{Capture, TimeForm};
use super::super::template::{Token, rank_of_duration, rank_of_time};
use super::super::{Context, Miss};
use super::keys::{KeyMap, Place, What};
use crate::engine::batch::{Module, Stamp, Writer};
use crate::engine::json::{Keys, Reader};

/// What a line of the format has at least, where the format has it.
const CORE: [Place; 5] = [Place::Time, Place::Client, Place::Status, Place::Request, Place::Target];

/// A compiled format.
#[derive(Debug)]
pub struct WrittenJson {
    name: &'static str,
    module: Module,
    stamp: Stamp,
    keys: KeyMap,
    /// Lines of `key=value` are read, too.
    reads_pairs: bool,
}

/// The text that the tokens write is meant to be a JSON object.
pub(in super::super) fn is_json(tokens: &[Token]) -> bool {
    matches!(tokens.first(), Some(Token::Literal(text)) if text.trim_ascii_start().starts_with(b"{"))
}

impl WrittenJson {
    /// Compiles the tokens of a format; the complaint completes "bad log_format: …".
    pub(in super::super) fn compile(
        name: &'static str,
        tokens: &[Token],
        module: Module,
        stamp: Stamp,
    ) -> Result<Self, String> {
        let skeleton = skeleton(tokens);
        let complaint =
            || "it begins with `{` and does not write a JSON object; check quotes and commas";
        let mut reader = Reader::new(&skeleton, Keys::Exact).map_err(|_| complaint())?;
        let mut rows = Vec::new();
        while let Some(leaf) = reader.next_leaf().map_err(|_| complaint())? {
            if let Some(capture) = meaning(leaf.path, leaf.value.text, tokens) {
                rows.push((leaf.path.to_vec(), capture));
            }
        }
        if rows.is_empty() {
            return Err("there is no variable in it".to_owned());
        }
        rows.sort_by_key(|(_, capture)| {
            std::cmp::Reverse((rank_of_time(capture), rank_of_duration(capture)))
        });
        let rows = rows.into_iter().map(|(key, capture)| (key, What::Is(capture)));
        let keys = KeyMap::new(rows.collect(), Keys::Exact)?;
        Ok(Self { name, module, stamp, keys, reads_pairs: false })
    }

    /// A format of keys that somebody has named, for objects and for pairs.
    pub(super) fn of_keys(
        name: &'static str,
        rows: Vec<(Vec<u8>, What)>,
        module: Module,
        stamp: Stamp,
    ) -> Result<Self, String> {
        let keys = KeyMap::new(rows, Keys::Exact)?;
        Ok(Self { name, module, stamp, keys, reads_pairs: true })
    }

    pub(in super::super) fn captures(&self) -> usize {
        self.keys.len()
    }

    pub(in super::super) fn identity(&self) -> (Module, &'static str) {
        (self.module, self.name)
    }

    pub(in super::super) fn parse(
        &self,
        line: &[u8],
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<(), Miss> {
        let is_object = !self.reads_pairs || line.trim_ascii_start().starts_with(b"{");
        let found = if is_object { self.keys.read(line)? } else { self.keys.read_pairs(line)? };
        let is_missing = |place| self.keys.knows(place) && !self.keys.has(&found, place);
        if CORE.into_iter().any(is_missing) {
            return Err(Miss::Shape);
        }
        if self.keys.knows(Place::Time) && self.keys.text(&found, Place::Time).is_none() {
            return Err(Miss::Time);
        }
        self.keys.apply(&found, self.module, self.stamp, cx, out)?;
        if self.keys.knows(Place::Request) || self.keys.knows(Place::Target) {
            super::mark_empty_request(out);
        }
        let row = &mut out.row;
        (row.format, row.module, row.stamp) = (self.name, self.module, self.stamp);
        Ok(())
    }
}

/// The text of the format with a number of its own in the place of each variable: one that a JSON
/// reader takes for a value both in quotes and without.
fn skeleton(tokens: &[Token]) -> Vec<u8> {
    let mut text = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::Literal(literal) => text.extend_from_slice(literal),
            Token::Value(..) => text.extend_from_slice(&mark(index)),
        }
    }
    text
}

/// No server writes a number like this one.
fn mark(index: usize) -> Vec<u8> {
    format!("0e{index}-e0").into_bytes()
}

/// What the value of a key means; none where no variable is in it.
fn meaning(key: &[u8], text: &[u8], tokens: &[Token]) -> Option<Capture> {
    let inside: Vec<(usize, &Capture, &str)> = tokens
        .iter()
        .enumerate()
        .filter_map(|(index, token)| match token {
            Token::Value(capture, name) => Some((index, capture, name.as_str())),
            Token::Literal(_) => None,
        })
        .filter(|(index, ..)| memchr::memmem::find(text, &mark(*index)).is_some())
        .collect();
    let (index, capture, _) = inside.first()?;
    if text == mark(*index) {
        return Some((*capture).clone());
    }
    // Several variables, or text around one, make one value.
    let kinds: Vec<&Capture> = inside.iter().map(|(_, capture, _)| *capture).collect();
    Some(match kinds.as_slice() {
        [Capture::Time(_)] => Capture::Time(TimeForm::Any),
        [_, Capture::Target | Capture::MappedPath, Capture::Protocol] => Capture::Request,
        [.., Capture::Target | Capture::MappedPath]
            if memchr::memmem::find(text, b"://").is_some() =>
        {
            Capture::Target
        }
        [Capture::Client, _] if text.ends_with(&mark(inside[1].0)) && text.contains(&b':') => {
            Capture::Endpoint
        }
        _ => Capture::Label(String::from_utf8_lossy(key).into()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::{Format, testing};

    #[track_caller]
    fn check(definition: &str, line: &str, expected: &[(&str, &str)]) {
        let mut format = Format::written(definition).expect("a sound format");
        let facts = testing::read(|line, cx, out| format.parse(line, cx, out), line.as_bytes());
        let facts = facts.unwrap_or_else(|miss| panic!("{miss:?}: {line}"));
        for (name, value) in expected {
            assert_eq!(*value, facts.get(*name).map_or("-", String::as_str), "{name}\n{facts:#?}");
        }
    }

    const NGINX: &str = r#"log_format x escape=json '{"t":"$time_local","m":$msec,"c":"$remote_addr",'
        '"who":"$remote_user","r":{"line":"$request","ua":"$http_user_agent"},'
        '"s":$status,"b":$body_bytes_sent,"up":$upstream_response_time,'
        '"S":"$scheme","x":"$sent_http_x_id","url":"$scheme://$host$request_uri"}';"#;

    #[test]
    fn keys_mean_what_the_variables_behind_them_mean() {
        check(
            NGINX,
            r#"{"r":{"ua":"a\"b","line":"GET /a?b HTTP/1.1"},"m":1795158014.250,"t":"20/Nov/2026:07:00:14 +0000","c":"192.0.2.7","who":"","s":200,"b":19,"up":0.002, 0.001,"S":"https","x":"7","url":"https://www.example.org/a?b"}"#,
            &[
                ("format", "nginx:custom"),
                ("module", "nginx"),
                ("time", "2026-11-20T07:00:14.250Z"),
                ("client", "192.0.2.7"),
                ("user.name", "-"),
                ("url.path", "/a"),
                ("user_agent.original", "a\"b"),
                ("status", "200"),
                ("bytes", "19"),
                ("url.scheme", "https"),
                ("gatewatch.upstream.response_time_s", "0.001"),
                ("labels.sent_http_x_id", "7"),
            ],
        );
    }

    #[test]
    fn apache_writes_json_too() {
        let text = r#"LogFormat "{\"time\":\"%t\",\"ip\":\"%a\",\"user\":\"%u\",\"req\":\"%r\",\"code\":%>s,\"size\":%B,\"us\":%D,\"ua\":\"%{User-Agent}i\"}" json"#;
        let line = r#"{"time":"[20/Nov/2026:08:00:14 +0100]","ip":"192.0.2.7","user":"-","req":"GET /\xc3\xa9 HTTP/1.1","code":404,"size":19,"us":4000,"ua":"a\"b\\c"}"#;
        let expected = [
            ("format", "apache:custom"),
            ("module", "apache"),
            ("time", "2026-11-20T07:00:14.000Z"),
            ("url.path", "/\u{e9}"),
            ("status", "404"),
            ("duration", "4000000"),
            ("user_agent.original", "a\"b\\c"),
        ];
        check(text, line, &expected);
        let bare = text.trim_start_matches("LogFormat \"").trim_end_matches("\" json");
        check(bare, line, &expected);
    }

    #[test]
    fn a_line_of_another_format_is_refused() {
        let mut format = Format::written(r#"{"c":"$remote_addr","s":"$status"}"#).expect("sound");
        for line in
            ["", "{}", r#"{"c":"192.0.2.7"}"#, r#"{"c":"192.0.2.7","s":"x"}"#, "192.0.2.7 200"]
        {
            let read = testing::read(|line, cx, out| format.parse(line, cx, out), line.as_bytes());
            assert!(read.is_err(), "{line}");
        }
    }

    #[test]
    fn what_writes_no_object_is_refused_with_a_reason() {
        for text in [r#"{"c":"$remote_addr" "s":$status}"#, r#"{"c":"$remote_addr"#] {
            let error = Format::written(text).expect_err(text).to_string();
            assert!(error.contains("does not write a JSON object"), "{error}");
        }
    }
}
