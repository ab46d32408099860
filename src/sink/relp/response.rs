//! What a RELP receiver says, read strictly and in bounded memory. Pure.

/// Digits of a transaction's number and of a length.
const DIGITS_MAX: usize = 9;

/// Characters of a command.
const COMMAND_MAX: usize = 32;

/// Bytes of an answer: that to `open` lists what a receiver offers, others are a line of text.
const DATA_MAX: usize = 16 << 10;

/// One frame from a receiver.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    /// The number of what it answers; 0 where it answers nothing.
    pub number: u32,
    /// `rsp` or `serverclose`.
    pub command: String,
    /// What it says.
    pub data: Vec<u8>,
}

impl Response {
    /// The receiver ends the session.
    pub fn is_close(&self) -> bool {
        self.command == "serverclose"
    }

    /// Code and text of an answer, such as `200 OK`.
    pub fn verdict(&self) -> Option<(u16, String)> {
        let code = self.data.get(..3)?;
        if self.command != "rsp" || !code.iter().all(u8::is_ascii_digit) {
            return None;
        }
        if self.data.get(3).is_some_and(|next| !matches!(next, b' ' | b'\n')) {
            return None;
        }
        let number = code.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        let first = self.data.split(|byte| *byte == b'\n').next().unwrap_or_default();
        Some((number, String::from_utf8_lossy(first).into_owned()))
    }

    /// The answer to `open` lists `command` among those it takes.
    pub fn offers(&self, command: &str) -> bool {
        let mut lines = self.data.split(|byte| *byte == b'\n').skip(1);
        lines.any(|line| {
            let list = line.strip_prefix(b"commands=");
            list.is_some_and(|list| {
                list.split(|byte| *byte == b',').any(|c| c == command.as_bytes())
            })
        })
    }
}

/// Bytes that are no frame, and why. Nothing behind them can be understood.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Malformed(pub &'static str);

/// Cuts what comes into frames.
#[derive(Clone, Debug, Default)]
pub struct Responses {
    bytes: Vec<u8>,
    /// Bytes before this are done with.
    from: usize,
}

impl Responses {
    /// Takes what came. Ask [`Responses::next_frame`] until it has nothing before the next call, so that
    /// no more than one frame is held.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.from);
        self.from = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame.
    pub fn next_frame(&mut self) -> Result<Option<Response>, Malformed> {
        let mut cursor = Cursor { rest: &self.bytes[self.from..] };
        let Some(response) = cursor.frame()? else { return Ok(None) };
        self.from = self.bytes.len() - cursor.rest.len();
        Ok(Some(response))
    }

    /// How much is held.
    pub fn held(&self) -> usize {
        self.bytes.len() - self.from
    }
}

struct Cursor<'b> {
    rest: &'b [u8],
}

impl Cursor<'_> {
    /// A frame, nothing while its end is missing, or an error as soon as it cannot become one.
    fn frame(&mut self) -> Result<Option<Response>, Malformed> {
        let Some((number, _)) = self.number("it does not begin with a number", b" ")? else {
            return Ok(None);
        };
        let Some(command) = self.command()? else { return Ok(None) };
        let Some((length, end)) = self.number("an answer has no length", b" \n")? else {
            return Ok(None);
        };
        let length = length as usize;
        if DATA_MAX < length {
            return Err(Malformed("an answer is too long"));
        }
        if end == b'\n' {
            // Without data its length is 0, and the blank may be missing.
            let data = Vec::new();
            return match length {
                0 => Ok(Some(Response { number, command, data })),
                _ => Err(Malformed("an answer is shorter than it says")),
            };
        }
        let Some(&trailer) = self.rest.get(length) else { return Ok(None) };
        if trailer != b'\n' {
            return Err(Malformed("an answer is longer than it says"));
        }
        let data = self.rest[..length].to_vec();
        self.rest = &self.rest[length + 1..];
        Ok(Some(Response { number, command, data }))
    }

    /// A number up to one of `ends`, with which it ended.
    fn number(&mut self, wrong: &'static str, ends: &[u8]) -> Result<Option<(u32, u8)>, Malformed> {
        let digits = self.rest.iter().take(DIGITS_MAX + 1).take_while(|b| b.is_ascii_digit());
        let count = digits.count();
        let end = self.rest.get(count);
        if DIGITS_MAX < count || end.is_some_and(|end| count == 0 || !ends.contains(end)) {
            return Err(Malformed(wrong));
        }
        let Some(end) = end else { return Ok(None) };
        let fold = |sum, digit: &u8| sum * 10 + u32::from(digit - b'0');
        let number = self.rest[..count].iter().fold(0, fold);
        self.rest = &self.rest[count + 1..];
        Ok(Some((number, *end)))
    }

    fn command(&mut self) -> Result<Option<String>, Malformed> {
        let letters = self.rest.iter().take(COMMAND_MAX + 1);
        let count = letters.take_while(|byte| byte.is_ascii_alphabetic()).count();
        let end = self.rest.get(count);
        if COMMAND_MAX < count || end.is_some_and(|end| *end != b' ') {
            return Err(Malformed("it says neither rsp nor serverclose"));
        }
        if end.is_none() {
            return Ok(None);
        }
        let name = String::from_utf8_lossy(&self.rest[..count]).into_owned();
        if !matches!(name.as_str(), "rsp" | "serverclose") {
            return Err(Malformed("it says neither rsp nor serverclose"));
        }
        self.rest = &self.rest[count + 1..];
        Ok(Some(name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The longest frame: a number, a command and a length with a blank behind each, the data and
    /// a line feed.
    const FRAME_MAX: usize = DIGITS_MAX + 1 + COMMAND_MAX + 1 + DIGITS_MAX + 1 + DATA_MAX + 1;

    /// All frames of `text`, fed in parts of `step` bytes.
    fn read(text: &[u8], step: usize) -> Result<Vec<Response>, Malformed> {
        let mut responses = Responses::default();
        let mut found = Vec::new();
        for part in text.chunks(step) {
            responses.feed(part);
            while let Some(response) = responses.next_frame()? {
                found.push(response);
            }
            assert!(responses.held() <= FRAME_MAX, "{} bytes held", responses.held());
        }
        Ok(found)
    }

    #[test]
    fn answers_are_the_same_however_they_are_cut() {
        let text = b"1 rsp 46 200 OK\nrelp_version=0\ncommands=starttls,syslog\n2 rsp 6 200 OK\n\
                     3 rsp 15 500 no\nit is it\n0 serverclose 0\n4 rsp 0 \n";
        let whole = read(text, text.len()).expect("frames");
        for step in 1..text.len() {
            assert_eq!(Ok(&whole), read(text, step).as_ref(), "{step}");
        }
        let numbers: Vec<u32> = whole.iter().map(|response| response.number).collect();
        assert_eq!(vec![1, 2, 3, 0, 4], numbers);
        assert!(whole[0].offers("syslog") && !whole[0].offers("sys"));
        assert_eq!(Some((200, "200 OK".to_owned())), whole[1].verdict());
        assert_eq!(Some((500, "500 no".to_owned())), whole[2].verdict());
        assert!(whole[3].is_close());
        assert_eq!(None, whole[4].verdict());
    }

    #[test]
    fn what_is_no_frame_is_refused_at_once() {
        let long = format!("1 rsp {}", "9".repeat(10));
        for (text, expected) in [
            ("HTTP/1.1 400 Bad Request\r\n", "it does not begin with a number"),
            ("\n", "it does not begin with a number"),
            ("1234567890 rsp 0\n", "it does not begin with a number"),
            ("1 syslog 3 abc\n", "it says neither rsp nor serverclose"),
            ("1 rsprsprsprsprsprsprsprsprsprsprsprsp", "it says neither rsp nor serverclose"),
            ("1 rsp x", "an answer has no length"),
            ("1 rsp 3\n", "an answer is shorter than it says"),
            ("1 rsp 6 200 OK!\n", "an answer is longer than it says"),
            ("1 rsp 16385 2", "an answer is too long"),
            (long.as_str(), "an answer has no length"),
        ] {
            assert_eq!(Err(Malformed(expected)), read(text.as_bytes(), 1), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_held_for_ever(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut responses = Responses::default();
            responses.feed(&bytes);
            while let Ok(Some(_)) = responses.next_frame() {}
            prop_assert!(responses.held() <= bytes.len());
        }

        #[test]
        fn a_frame_is_what_was_written(
            number in 0..=999_999_999_u32,
            data in proptest::collection::vec(any::<u8>(), 1..300),
            step in 1..20_usize,
        ) {
            let mut text = format!("{number} rsp {} ", data.len()).into_bytes();
            text.extend_from_slice(&data);
            text.push(b'\n');
            let expected = Response { number, command: "rsp".to_owned(), data };
            prop_assert_eq!(Ok(vec![expected]), read(&text, step));
        }
    }
}
