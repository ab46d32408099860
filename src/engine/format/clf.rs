//! The family of the Common Log Format: whatever has a time in brackets, the request in quotes and
//! the status behind it, with columns of any number and order around them.
//!
//! Servers, hosters and administrators add columns: the site in front, the time it took behind, what
//! the upstream did as `key=value`. This reads the lines that no format of the table reads whole. It holds on to what servers always write (`[time]`, the quotes, the status) and
//! takes each other column for what its form and place say; a column it cannot name is kept aside.
//!
//! Texts of clients stand in quotes, or last in front of the time (the user), or at the end (an agent
//! without quotes). Invariant: a line with two times in front of requests, or with quotes that do not
//! pair, has more than one reading and is refused.

mod forms;

use memchr::{memchr, memmem};

use super::capture::{
    Applier, Capture, Escape, TimeForm, Unit, duration, is_decimal, is_site, status,
};
use super::columns::{Columns, find_quote};
use super::{Context, FAMILY, FixedFormat, Miss};

use self::forms::{
    agent_without_quotes, is_cache_verdict, is_cipher, is_hops, is_identifier, is_referrer,
    is_upstream, with_unit,
};
use crate::engine::address::{parse_ip, set_client, split_port};
use crate::engine::batch::{ClientSource, Field, Module, Stamp, Writer};
use crate::engine::text::parse_u64;
use crate::engine::time::{Logged, TimeReader};

/// The format; its parser is [`parse`]. Without captures to its name it is asked last.
pub(super) const FORMAT: FixedFormat =
    FixedFormat { name: NAME, module: Module::Nginx, captures: FAMILY, parse };

const NAME: &str = "clf";

/// Longest text in the brackets of a time.
const TIME_BYTES_MAX: usize = 40;

/// Columns in front of the client, and between a time and its request.
const FRONT_COLUMNS_MAX: usize = 8;

/// Columns behind the bytes; the rest is kept as one.
const TAIL_COLUMNS_MAX: usize = 40;

const APPLIER: Applier = Applier {
    escape: Escape::Default,
    module: Module::Nginx,
    stamp: Stamp::End,
    client_is_address: false,
};

/// Reads one line.
fn parse(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    (out.row.module, out.row.format, out.row.stamp) = (Module::Nginx, NAME, Stamp::End);
    if knows_nothing(line) {
        return Ok(());
    }
    let anchor = Anchor::find(line, cx)?;
    let request = &line[anchor.request..];
    let end = end_of_request(request).ok_or(Miss::Shape)?;
    let mut columns = Columns::new(request[end + 1..].strip_prefix(b" ").ok_or(Miss::Shape)?);
    let answer = columns.word().ok_or(Miss::Status)?;
    let code = if answer == b"-" { 0 } else { status(answer)? };
    let mut row = Reader { cx, out };
    let front = line[..anchor.front].trim_ascii();
    let between = &line[anchor.between..anchor.request - 1];
    if anchor.is_time_first {
        row.behind_time(between)?;
    } else {
        row.front(front, &request[..end])?;
        row.words(between)?;
    }
    if let Some((time, zone)) = anchor.time {
        (row.out.row.time, row.out.row.zone_minutes) = (time, zone);
    }
    row.apply(&Capture::Request, &request[..end])?;
    row.out.row.status = code;
    if anchor.time.is_none() && anchor.is_time_first && !columns.rest().is_empty() {
        // uvicorn: `200 OK` and nothing behind.
        let is_phrase =
            |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b' ' | b'-' | b'\'');
        return if columns.rest().iter().all(is_phrase) { Ok(()) } else { Err(Miss::Shape) };
    }
    row.tail(columns)
}

/// A line of columns in which the server knew nothing: `- - - - - - -`.
fn knows_nothing(line: &[u8]) -> bool {
    matches!(line.len(), 13 | 17)
        && line
            .iter()
            .enumerate()
            .all(|(index, byte)| *byte == if index % 2 == 0 { b'-' } else { b' ' })
}

/// Where the parts of a line stand.
struct Anchor {
    time: Option<Logged>,
    /// End of what stands in front of the time.
    front: usize,
    /// What stands between the time and the request is there, not in front.
    is_time_first: bool,
    /// Start of it.
    between: usize,
    /// First byte of the request, behind its quote.
    request: usize,
}

impl Anchor {
    fn find(line: &[u8], cx: &mut Context<'_>) -> Result<Self, Miss> {
        let mut found: Option<Self> = None;
        let mut miss = Miss::Shape;
        for close in memmem::find_iter(line, b"] \"") {
            let Some((open, text)) = bracket_before(line, close) else { continue };
            let Some(time) = read_time(text, cx) else {
                miss = Miss::Time;
                continue;
            };
            // Servers that escape quotes write this once in a line.
            if found.is_some() {
                return Err(Miss::Shape);
            }
            let (between, request) = (close + 1, close + 3);
            found = Some(Self { time, front: open, is_time_first: false, between, request });
        }
        match found {
            Some(anchor) if 0 < anchor.front => Ok(anchor),
            Some(_) => Err(Miss::Client),
            None => {
                let anchor = Self::time_first(line, cx).or_else(|| Self::time_apart(line, cx));
                anchor.ok_or(miss)
            }
        }
    }

    /// `… [time] 0.005 "request"`: words of the server between the two. The first quote is that of
    /// the request, for servers escape those in a name, and the last time before it is the time.
    fn time_apart(line: &[u8], cx: &mut Context<'_>) -> Option<Self> {
        let quote = memmem::find(line, b" \"")?;
        let close = memmem::rfind(&line[..quote], b"] ")?;
        let (front, text) = bracket_before(line, close)?;
        let time = read_time(text, cx)??;
        (0 < front && memchr(b'[', &line[close..quote]).is_none()).then_some(Self {
            time: Some(time),
            front,
            is_time_first: false,
            between: close + 1,
            request: quote + 2,
        })
    }

    /// `[time] site client "request"`, perhaps behind other words in brackets; or without a time, as
    /// uvicorn writes it: `INFO:     192.0.2.7:5000 - "request"`.
    fn time_first(line: &[u8], cx: &mut Context<'_>) -> Option<Self> {
        let mut at = 0;
        let mut time = None;
        while time.is_none() {
            at += line[at..].iter().take_while(|byte| **byte == b' ').count();
            if line.get(at) != Some(&b'[') {
                break;
            }
            let length = memchr(b']', &line[at..line.len().min(at + TIME_BYTES_MAX)])?;
            time = read_time(&line[at + 1..at + length], cx).flatten();
            at += length + 1;
        }
        if time.is_none() {
            at = line.strip_prefix(b"INFO: ").map_or(0, |rest| line.len() - rest.len());
        }
        let quote = memmem::find(&line[at..], b" \"")? + at;
        if time.is_none() {
            let client = line[at..quote].strip_suffix(b" -")?.trim_ascii_start();
            let (address, port) = split_port(client);
            parse_ip(address).and(port)?;
        }
        let request = quote + 2;
        Some(Self { time, front: 0, is_time_first: true, between: at, request })
    }
}

/// The text in the brackets that close at `close`, and where they open.
fn bracket_before(line: &[u8], close: usize) -> Option<(usize, &[u8])> {
    let from = close.saturating_sub(TIME_BYTES_MAX);
    let open = memchr::memrchr(b'[', &line[from..close])? + from;
    Some((open, &line[open + 1..close]))
}

/// A time as the servers of the family write it; `-` is none.
fn read_time(text: &[u8], cx: &mut Context<'_>) -> Option<Option<Logged>> {
    let times = &mut *cx.times;
    match text {
        b"-" => Some(None),
        [_, _, b'/', _, _, b'/', ..] => times.pattern("%m/%d/%Y:%H:%M:%S %z", text).map(Some),
        [b'1'..=b'9', ..] if 10 <= text.len() && is_decimal(text) => {
            TimeReader::epoch(text).map(Some)
        }
        // Python: `20/Nov/2026 07:00:01`.
        [date @ .., b' ', _, _, b':', _, _, b':', _, _] if memchr(b'/', date).is_some() => {
            let mut clf = text.to_vec();
            clf[date.len()] = b':';
            times.clf(&clf).map(Some)
        }
        _ => times.clf(text).or_else(|| times.iso(text)).or_else(|| times.ctime(text)).map(Some),
    }
}

/// The quote that ends the request: a status stands behind it. None where another one could.
fn end_of_request(request: &[u8]) -> Option<usize> {
    let mut from = 0;
    let mut end = None;
    while let Some(quote) = find_quote(request.get(from..)?) {
        let at = from + quote;
        from = at + 1;
        let behind = request[at + 1..].strip_prefix(b" ").unwrap_or_default();
        let answered = Columns::new(behind).word().is_some_and(is_answer);
        if answered && end.is_none() {
            end = Some(at);
        } else if answered && ends_in_version(&request[..at]) {
            return None;
        }
    }
    end
}

fn is_answer(word: &[u8]) -> bool {
    word == b"-" || matches!(word, [b'0'..=b'5', b'0'..=b'9', b'0'..=b'9'])
}

fn ends_in_version(text: &[u8]) -> bool {
    matches!(text, [.., b' ', b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'])
}

/// Sets the fields of one line.
struct Reader<'r, 'c, 'b> {
    cx: &'r mut Context<'c>,
    out: &'r mut Writer<'b>,
}

impl Reader<'_, '_, '_> {
    fn apply(&mut self, capture: &Capture, value: &[u8]) -> Result<(), Miss> {
        APPLIER.apply(capture, value, true, self.cx, self.out)
    }

    /// Columns in front of the time: site, hops, client, ident, user.
    fn front(&mut self, front: &[u8], request: &[u8]) -> Result<(), Miss> {
        let mut columns = Columns::new(front);
        if let Some(hops) = columns.quoted() {
            if !is_hops(hops) && hops != b"-" {
                return Err(Miss::Shape);
            }
            if columns.rest().starts_with(b"- ") {
                self.apply(&Capture::Client, hops)?;
                return self.identity(columns);
            }
            self.apply(&Capture::Text(Field::Forwarded), hops)?;
        }
        for _ in 0..FRONT_COLUMNS_MAX {
            let before = columns.rest();
            columns.skip_blanks();
            let word = columns.word().ok_or(Miss::Client)?;
            if word.ends_with(b",") {
                columns = self.hops(before)?;
                return self.identity(columns);
            }
            if self.set_client(word) {
                return self.identity(columns);
            }
            match word {
                // A server that knew nothing of the request.
                b"-" if request == b"-" && columns.rest() == b"- -" => return Ok(()),
                b"-" => (),
                name if is_site(name) && columns.rest().starts_with(b"- ") => {
                    // Servers that resolve names; a site would have its client behind it.
                    self.apply(&Capture::Client, name)?;
                    return self.identity(columns);
                }
                name if is_site(name) || name == b"_" || name == b"localhost" => {
                    self.apply(&Capture::Host, name)?;
                }
                _ => return Err(Miss::Client),
            }
        }
        Err(Miss::Client)
    }

    /// A list of hops without quotes: the last one is the peer.
    fn hops<'l>(&mut self, text: &'l [u8]) -> Result<Columns<'l>, Miss> {
        let mut end = 0;
        for hop in text.split(|byte| *byte == b' ').take(32) {
            end += hop.len() + 1;
            if !hop.ends_with(b",") {
                break;
            }
        }
        let end = (end - 1).min(text.len());
        let hops = &text[..end];
        if !is_hops(hops) {
            return Err(Miss::Client);
        }
        self.apply(&Capture::Client, hops)?;
        let rest = &text[end..];
        Ok(Columns::new(rest.strip_prefix(b" ").unwrap_or(rest)))
    }

    /// Takes an address with or without a port for the client.
    fn set_client(&mut self, word: &[u8]) -> bool {
        let (address, port) =
            if parse_ip(word).is_some() { (word, None) } else { split_port(word) };
        if parse_ip(address).is_none() {
            return false;
        }
        set_client(self.out, address);
        if port.is_some()
            && let Some(colon) = memchr::memrchr(b':', word)
        {
            self.out.set(Field::ClientPort, &word[colon + 1..]);
        }
        true
    }

    /// What stands between the client and the time: ident or site, and the user, who may have blanks.
    fn identity(&mut self, mut columns: Columns<'_>) -> Result<(), Miss> {
        columns.skip_blanks();
        let Some(first) = columns.word() else { return Ok(()) };
        let user = columns.rest().trim_ascii();
        if parse_ip(split_port(first).0).is_some() {
            // Which of the two asked the order of the columns does not say.
            self.out.row.client_source = ClientSource::Ambiguous;
        } else if is_site(first) {
            self.apply(&Capture::Host, first)?;
        } else if user.is_empty() {
            return self.apply(&Capture::User, first);
        }
        let user = match user.strip_prefix(b"- ") {
            Some(user) if self.out.row.client_source == ClientSource::Ambiguous => user,
            _ => user,
        };
        if user.is_empty() { Ok(()) } else { self.apply(&Capture::User, user) }
    }

    /// Columns between a time in front and the request.
    fn behind_time(&mut self, text: &[u8]) -> Result<(), Miss> {
        let mut has_client = false;
        let words = text.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        for (index, word) in words.enumerate() {
            if index == FRONT_COLUMNS_MAX {
                return Err(Miss::Shape);
            }
            match word {
                b"-" | b"_" => (),
                _ if !has_client && self.set_client(word) => has_client = true,
                _ if word.contains(&b'.') && is_decimal(word) => {
                    self.apply(&Capture::Duration(Unit::Seconds), word)?;
                }
                _ if is_site(word) && !self.out.has(Field::Domain) => {
                    self.apply(&Capture::Host, word)?;
                }
                _ => self.out.set(Field::Trailing, word),
            }
        }
        if has_client { Ok(()) } else { Err(Miss::Client) }
    }

    /// Columns between the time behind a client and the request.
    fn words(&mut self, text: &[u8]) -> Result<(), Miss> {
        let mut before = &b""[..];
        for word in text.split(|byte| *byte == b' ').filter(|word| !word.is_empty()) {
            self.word(word, before)?;
            before = word;
        }
        Ok(())
    }

    fn word(&mut self, word: &[u8], before: &[u8]) -> Result<(), Miss> {
        if before.starts_with(b"TLSv") && is_cipher(word) {
            self.out.set(Field::TlsCipher, word);
        } else if !self.known(word, false)? {
            self.out.set(Field::Trailing, word);
        }
        Ok(())
    }

    /// Columns behind the status.
    fn tail(&mut self, mut columns: Columns<'_>) -> Result<(), Miss> {
        let mut ahead = columns;
        if let Some(bytes) = ahead.word().filter(|word| *word == b"-" || parse_u64(word).is_some())
        {
            self.apply(&Capture::BodyBytes, bytes)?;
            columns = ahead;
        }
        if memchr(b'"', columns.rest()).is_none()
            && let Some(agent) = agent_without_quotes(columns.rest())
        {
            let rest = columns.rest();
            self.apply(&Capture::Text(Field::UserAgent), &rest[agent..])?;
            columns = Columns::new(rest[..agent].trim_ascii_end());
        }
        let mut tokens = [Token::Word(b""); TAIL_COLUMNS_MAX];
        let mut count = 0;
        while !columns.rest().is_empty() {
            columns.skip_blanks();
            if count == TAIL_COLUMNS_MAX {
                self.out.set(Field::Trailing, columns.rest());
                break;
            }
            if columns.rest().is_empty() {
                break;
            }
            tokens[count] = Token::next(&mut columns).ok_or(Miss::Shape)?;
            count += 1;
        }
        self.tokens(&tokens[..count])
    }

    fn tokens(&mut self, tokens: &[Token<'_>]) -> Result<(), Miss> {
        let quoted = |token: &Token<'_>| matches!(token, Token::Quoted(_));
        let texts = tokens.iter().filter(|token| quoted(token)).count();
        let mut texts_seen = 0;
        // A site in quotes may stand before the referrer.
        let mut leading = tokens.iter().filter_map(|token| match token {
            Token::Quoted(text) => Some(*text),
            _ => None,
        });
        let skip = match (leading.next(), leading.next()) {
            (Some(site), Some(referrer))
                if 3 <= texts && is_site(site) && is_referrer(referrer) =>
            {
                self.apply(&Capture::Host, site)?;
                1
            }
            _ => 0,
        };
        let mut before = &b""[..];
        for token in tokens {
            match token {
                Token::Quoted(text) => {
                    texts_seen += 1;
                    self.text(text, texts_seen - 1, skip, texts)?;
                }
                Token::Pair(key, value) => self.pair(key, value)?,
                Token::Word(word) => {
                    self.word(word, before)?;
                    before = word;
                }
            }
        }
        Ok(())
    }

    /// The text in quotes number `index` of `count`; `skip` of them stand before the referrer.
    fn text(&mut self, text: &[u8], index: usize, skip: usize, count: usize) -> Result<(), Miss> {
        let Some(index) = index.checked_sub(skip) else { return Ok(()) };
        match (index, count - skip) {
            (0, 1) if text == b"-" || text.is_empty() => Ok(()),
            (0, 1) if !is_referrer(text) => self.apply(&Capture::Text(Field::UserAgent), text),
            (0, _) => self.apply(&Capture::Text(Field::Referrer), text),
            (1, _) => self.apply(&Capture::Text(Field::UserAgent), text),
            _ if is_hops(text) && !self.out.has(Field::Forwarded) => {
                self.apply(&Capture::Text(Field::Forwarded), text)
            }
            _ if matches!(text, b"-" | b"") => Ok(()),
            // Right behind the agent stands a header, mostly, which may look like anything.
            (2, _) => {
                self.out.set(Field::Trailing, text);
                Ok(())
            }
            _ => {
                if !self.known(text, true)? {
                    self.out.set(Field::Trailing, text);
                }
                Ok(())
            }
        }
    }

    /// Sets what the form of a column says; answers whether it says anything.
    fn known(&mut self, word: &[u8], in_quotes: bool) -> Result<bool, Miss> {
        let word = word.strip_suffix(b",").unwrap_or(word);
        if matches!(word, b"-" | b"." | b"p" | b"" | b"+" | b"X") {
            return Ok(true);
        }
        let (number, unit) = with_unit(word);
        let is_time = is_decimal(number) && (unit.is_some() || number.contains(&b'.'));
        if is_time && self.out.row.duration_ns.is_none() {
            self.out.row.duration_ns = duration(unit.unwrap_or(Unit::Seconds), number);
            return Ok(self.out.row.duration_ns.is_some());
        }
        let capture = if is_time && unit.is_none() && !self.out.has(Field::UpstreamTime) {
            Capture::Upstream(Some(Field::UpstreamTime))
        } else if is_cache_verdict(word) {
            Capture::Text(Field::CacheStatus)
        } else if word.starts_with(b"TLSv1") || matches!(word, b"SSLv3" | b"SSLv2") {
            Capture::TlsVersion
        } else if matches!(word, b"http" | b"https") {
            Capture::Text(Field::Scheme)
        } else if is_site(word) && !self.out.has(Field::Domain) {
            Capture::Host
        } else if !in_quotes && is_upstream(word) && !self.out.has(Field::UpstreamAddress) {
            Capture::Upstream(Some(Field::UpstreamAddress))
        } else if is_identifier(word) && !self.out.has(Field::RequestId) {
            Capture::Text(Field::RequestId)
        } else {
            return Ok(false);
        };
        self.apply(&capture, word).map(|()| true)
    }

    fn pair(&mut self, key: &[u8], value: &[u8]) -> Result<(), Miss> {
        let capture = match key {
            b"rt" | b"request_time" | b"reqtime" | b"time" | b"duration" => {
                let (number, unit) = with_unit(value);
                if is_decimal(number) {
                    self.out.row.duration_ns = duration(unit.unwrap_or(Unit::Seconds), number);
                }
                return Ok(());
            }
            b"urt" | b"upstream_response_time" | b"upstream_time" => {
                Capture::Upstream(Some(Field::UpstreamTime))
            }
            b"uct" | b"upstream_connect_time" => {
                Capture::Upstream(Some(Field::UpstreamConnectTime))
            }
            b"uht" | b"upstream_header_time" => Capture::Upstream(Some(Field::UpstreamHeaderTime)),
            b"us" | b"upstream_status" => Capture::Upstream(Some(Field::UpstreamStatus)),
            b"ua" | b"upstream" | b"upstream_addr" => {
                Capture::Upstream(Some(Field::UpstreamAddress))
            }
            b"cs" | b"cache" | b"upstream_cache_status" => Capture::Text(Field::CacheStatus),
            b"host" | b"vhost" | b"http_host" | b"server_name" => Capture::Host,
            b"port" | b"server_port" => Capture::Number(Field::DestinationPort),
            b"scheme" => Capture::Text(Field::Scheme),
            b"xff" | b"x_forwarded_for" | b"http_x_forwarded_for" => {
                Capture::Text(Field::Forwarded)
            }
            b"rid" | b"id" | b"request_id" => Capture::Text(Field::RequestId),
            b"rl" | b"request_length" | b"bytes_in" => Capture::Number(Field::RequestBytes),
            b"ssl" | b"tls" | b"ssl_protocol" => Capture::TlsVersion,
            b"cipher" | b"ssl_cipher" => Capture::Text(Field::TlsCipher),
            b"sni" | b"ssl_server_name" => Capture::Text(Field::TlsServerName),
            b"pid" => Capture::Number(Field::Pid),
            b"msec" => return self.apply(&Capture::Time(TimeForm::Epoch), value).or(Ok(())),
            _ => Capture::Label(String::from_utf8_lossy(key).to_ascii_lowercase().into()),
        };
        self.apply(&capture, value)
    }
}

/// A column behind the bytes.
#[derive(Clone, Copy)]
enum Token<'l> {
    Quoted(&'l [u8]),
    Word(&'l [u8]),
    Pair(&'l [u8], &'l [u8]),
}

impl<'l> Token<'l> {
    /// The next column; none where its quotes do not pair.
    fn next(columns: &mut Columns<'l>) -> Option<Self> {
        let rest = columns.rest();
        if rest.starts_with(b"\"") {
            return columns.quoted().map(Self::Quoted);
        }
        if let Some(text) = columns.between(b'[', b']') {
            return memchr(b'"', text).is_none().then_some(Self::Word(text));
        }
        let end = rest.iter().position(|byte| matches!(byte, b' ' | b'=' | b'"'));
        let end = end.unwrap_or(rest.len());
        let key = &rest[..end];
        let is_key = (1..=32).contains(&end)
            && key.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if is_key && rest.get(end) == Some(&b'=') {
            *columns = Columns::new(&rest[end + 1..]);
            let value = if columns.rest().starts_with(b" ") || columns.rest().is_empty() {
                b""
            } else {
                columns.quoted_or_word()?
            };
            let value =
                value.strip_suffix(b",").or_else(|| value.strip_suffix(b";")).unwrap_or(value);
            return memchr(b'"', value)
                .is_none_or(|_| value.contains(&b'\\'))
                .then_some(Self::Pair(key, value));
        }
        let word = columns.word()?;
        memchr(b'"', word).is_none().then_some(Self::Word(word))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{check, check_miss, mutated, read};
    use super::*;

    const COMMON: &str =
        "192.0.2.7 - alice b [20/Nov/2026:07:00:01 +0000] \"GET /a?b HTTP/1.1\" 200 12";
    const FRONT: &str = "[20/Nov/2026:07:00:01 +0000] www.example.org 192.0.2.7 0.227 \"GET /a HTTP/2.0\" 207 \
         125 440 - Mozilla/5.0 (X11; rv:1) Gecko";
    const PAIRS: &str = "192.0.2.7 - - [20/Nov/2026:07:00:01 +0000] \"GET / HTTP/1.1\" 200 12 \"-\" \"curl/8\" \
         \"203.0.113.9\" rt=0.100 uct=\"0.001\" uht=\"0.002\" urt=\"0.003, 0.004\" us=200 zone=a";

    #[test]
    fn the_core_is_read_with_anything_in_front() {
        let core =
            [("client", "192.0.2.7"), ("url.path", "/a"), ("status", "200"), ("bytes", "12")];
        check(parse, COMMON, &core);
        check(parse, COMMON, &[("user.name", "alice b")]);
        for (front, field, value) in [
            ("www.example.org 192.0.2.7 - -", "destination.domain", "www.example.org"),
            ("www.example.org:8080 192.0.2.7 - -", "destination.port", "8080"),
            ("192.0.2.7 www.example.org alice", "user.name", "alice"),
            ("192.0.2.7 www.example.org alice", "destination.domain", "www.example.org"),
            ("192.0.2.7:5000 - alice", "source.port", "5000"),
            (
                "\"203.0.113.1, 192.0.2.9\" 192.0.2.7 - -",
                "gatewatch.xff_chain",
                "203.0.113.1, 192.0.2.9",
            ),
            ("203.0.113.1, 192.0.2.7 - alice", "user.name", "alice"),
            ("192.0.2.7 alice", "user.name", "alice"),
            ("\"192.0.2.7\" - alice", "user.name", "alice"),
            ("192.0.2.7 203.0.113.1 - -", "client_source", "ambiguous"),
            ("192.0.2.7  -  -", "user.name", "-"),
        ] {
            let line = COMMON.replace("192.0.2.7 - alice b", front);
            check(parse, &line, &core);
            check(parse, &line, &[(field, value)]);
        }
        let named = COMMON.replace("192.0.2.7", "host.example.net");
        check(parse, &named, &[("source.address", "host.example.net"), ("client", "-")]);
    }

    #[test]
    fn times_are_read_as_the_servers_write_them() {
        for time in [
            "20/Nov/2026:08:00:01.5 +0100",
            "20/Nov/2026 07:00:01",
            "11/20/2026:07:00:01 -0000",
            "2026-11-20T07:00:01Z",
            "2026-11-20 07:00:01",
            "Fri Nov 20 07:00:01 2026",
            "1795158001.123",
        ] {
            let line = COMMON.replace("20/Nov/2026:07:00:01 +0000", time);
            let facts = read(parse, line.as_bytes()).expect(time);
            assert!(facts["time"].starts_with("2026-11-20T07:00:01"), "{time}: {}", facts["time"]);
        }
    }

    #[test]
    fn columns_behind_are_told_by_form_and_place() {
        let trail = "gatewatch.extra";
        for (tail, field, value) in [
            (" 0.123", "duration", "123000000"),
            (" 12ms", "duration", "12000000"),
            (" \"-\" \"curl/8\" 0.123 0.120 .", "duration", "123000000"),
            (" \"-\" \"curl/8\" 0.123 0.120 .", "gatewatch.upstream.response_time_s", "0.120"),
            (" \"curl/8\"", "user_agent.original", "curl/8"),
            (" \"https://example.net/\"", "http.request.referrer", "https://example.net/"),
            (
                " \"-\" \"curl/8\" \"203.0.113.1\" \"www.example.org\"",
                "destination.domain",
                "www.example.org",
            ),
            (" \"www.example.org\" \"-\" \"curl/8\"", "destination.domain", "www.example.org"),
            (" \"www.example.org\" \"-\" \"curl/8\"", "user_agent.original", "curl/8"),
            (" www.example.org \"-\" \"curl/8\" \"-\"", "destination.domain", "www.example.org"),
            (
                " \"-\" \"curl/8\" TCP_MISS:HIER_DIRECT",
                "gatewatch.cache.status",
                "TCP_MISS:HIER_DIRECT",
            ),
            (
                " \"-\" \"curl/8\" - 198.51.100.1:80",
                "gatewatch.upstream.address",
                "198.51.100.1:80",
            ),
            (
                " \"-\" \"curl/8\" TLSv1.3 TLS_AES_128_GCM_SHA256",
                "tls.cipher",
                "TLS_AES_128_GCM_SHA256",
            ),
            (" \"-\" \"curl/8\" 4711", trail, "4711"),
            (" \"-\" \"curl/8\" \"any\"", trail, "any"),
            ("", trail, "-"),
        ] {
            check(parse, &format!("{COMMON}{tail}"), &[(field, value), ("status", "200")]);
        }
        check(
            parse,
            PAIRS,
            &[
                ("gatewatch.xff_chain", "203.0.113.9"),
                ("duration", "100000000"),
                ("gatewatch.upstream.connect_time_s", "0.001"),
                ("gatewatch.upstream.header_time_s", "0.002"),
                ("gatewatch.upstream.response_time_s", "0.004"),
                ("gatewatch.upstream.status", "200"),
                ("labels.zone", "a"),
                (trail, "-"),
            ],
        );
    }

    #[test]
    fn a_time_may_stand_first_or_be_missing() {
        check(
            parse,
            FRONT,
            &[
                ("client", "192.0.2.7"),
                ("destination.domain", "www.example.org"),
                ("duration", "227000000"),
                ("status", "207"),
                ("bytes", "125"),
                ("user_agent.original", "Mozilla/5.0 (X11; rv:1) Gecko"),
            ],
        );
        let apart =
            COMMON.replace("] \"", "] 0.005 www.example.org TLSv1.3 TLS_AES_128_GCM_SHA256 \"");
        let expected = [
            ("client", "192.0.2.7"),
            ("duration", "5000000"),
            ("destination.domain", "www.example.org"),
            ("tls.cipher", "TLS_AES_128_GCM_SHA256"),
            ("user.name", "alice b"),
        ];
        check(parse, &apart, &expected);
        let user = apart.replace("alice b", "x [20/Nov/2020:00:00:00 +0000] 0.1");
        let expected =
            [("duration", "5000000"), ("user.name", "x [20/Nov/2020:00:00:00 +0000] 0.1")];
        check(parse, &user, &expected);
        let line = "INFO:     192.0.2.7:5000 - \"GET /a HTTP/1.1\" 404 Not Found";
        check(parse, line, &[("client", "192.0.2.7"), ("source.port", "5000"), ("status", "404")]);
        let line = "[BACKEND][2026-11-20 07:00:01] 192.0.2.7:0 - \"POST /a HTTP/1.1\" 401";
        check(parse, line, &[("time", "2026-11-20T07:00:01.000Z"), ("status", "401")]);
    }

    #[test]
    fn a_server_that_knows_nothing_says_so() {
        for line in
            ["- - - - - - -", "- - - [-] \"-\" - -", "- - - [2026-11-20T07:00:01Z] \"-\" - -"]
        {
            check(parse, line, &[("client", "-"), ("status", "-"), ("kind", "Access")]);
        }
        check_miss(parse, "- - - [1234] - - -", Miss::Shape);
        check_miss(parse, "- - - [1234] \"-\" - -", Miss::Time);
        check_miss(
            parse,
            "- - - [20/Nov/2026:07:00:01 +0000] \"GET / HTTP/1.1\" 200 1",
            Miss::Client,
        );
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        for line in [
            COMMON.replace(
                "alice b",
                "x [20/Nov/2020:00:00:00 +0000] \"GET /y HTTP/1.1\" 200 1 \"-\" \"-\"",
            ),
            COMMON.replace("/a?b", "/\" 200 5 \"-\" \"a"),
            COMMON.replace("/a?b", "/\" 200 5"),
            format!("{COMMON} \"-\" \"a\"b"),
            format!("{COMMON} \"-\" \"a"),
            format!("{COMMON} x=\"a"),
        ] {
            check_miss(parse, &line, Miss::Shape);
        }
        // Escaped quotes and brackets of a user are no anchors.
        let user = COMMON.replace("alice b", r"x [20/Nov/2020:00:00:00 +0000] \x22GET");
        check(parse, &user, &[("user.name", "x [20/Nov/2020:00:00:00 +0000] \"GET")]);
    }

    #[test]
    fn other_lines_are_refused() {
        for (line, miss) in [
            ("", Miss::Shape),
            ("192.0.2.7 says \"hello\" 200", Miss::Shape),
            ("[20/Nov/2026:07:00:01 +0000] \"GET / HTTP/1.1\" 200 12", Miss::Client),
        ] {
            check_miss(parse, line, miss);
        }
        check_miss(parse, &COMMON.replace("Nov", "Nev"), Miss::Time);
        check_miss(parse, &COMMON.replace("192.0.2.7", "x"), Miss::Client);
        check_miss(parse, &COMMON.replace(" 200 ", " 099 "), Miss::Status);
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in mutated(&[COMMON, FRONT, PAIRS])) {
            let _ = read(parse, &line);
        }
    }
}
