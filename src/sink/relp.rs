//! RELP: syslog with an answer to each message.
//!
//! A frame is `TXNR SP COMMAND SP DATALEN [SP DATA] LF`. We open a session, send each message under
//! a number of its own and hear `rsp` with that number when the receiver has taken it, with at most
//! `WINDOW` of them unanswered. That is as far as its queue, which may be in its memory: a
//! receiver whose queue is on a disk closes the last gap.
//!
//! An answer other than 200 may be about the message or about the receiver, whose disk may be full.
//! Only a message that is refused twice while a later one is taken is at fault itself: it becomes a
//! dead letter, for it would hold up all others for ever. In any other case the turn is sent again.
//!
//! Invariant: a part of the stream counts as delivered when each of its messages was answered with
//! 200 or is a dead letter. What was not is sent again over the next connection.

mod response;

use std::collections::VecDeque;

pub use response::{Malformed, Response, Responses};

use super::address::Address;
use super::connection::{Connection, Heard};
use super::tls::TlsClient;
use super::{Rendered, SinkError};
use crate::escape;
use crate::store::DeadLetter;

/// Refused messages of a turn that are kept; more say something about the receiver.
const REFUSED_MAX: usize = 128;

/// Messages without an answer at a time.
const WINDOW: usize = 128;

/// Numbers have nine digits, and begin again with 1.
const NUMBER_MAX: u32 = 999_999_999;

/// The code of a message that was taken.
const TAKEN: u16 = 200;

/// Characters of an answer that are shown.
const SHOWN_MAX: usize = 200;

/// An open session.
#[derive(Debug)]
pub(super) struct Relp {
    connection: Connection,
    address: String,
    responses: Responses,
    /// The number of the message that was sent last.
    last: u32,
    /// What has no answer, in the order of sending.
    waiting: VecDeque<Sent>,
    /// Messages of this turn that were refused.
    refused: Vec<Refusal>,
    /// Messages of this turn, and the newest of them that was taken.
    messages: u64,
    newest_taken: u64,
    scratch: Vec<u8>,
}

/// A command on its way.
#[derive(Debug)]
struct Sent {
    number: u32,
    /// The message and its place in the turn; other commands have none.
    message: Option<(u64, Vec<u8>)>,
}

/// A message that was not taken.
#[derive(Debug)]
struct Refusal {
    place: u64,
    message: Vec<u8>,
    /// What was said, made safe to print.
    answer: String,
}

impl Relp {
    /// Connects and opens a session in which syslog may be sent.
    pub(super) async fn open(address: &Address, tls: &mut TlsClient) -> Result<Self, SinkError> {
        let connection = Connection::open(address, tls).await?;
        let mut session = Self {
            connection,
            address: address.to_string(),
            responses: Responses::default(),
            last: 0,
            waiting: VecDeque::new(),
            refused: Vec::new(),
            messages: 0,
            newest_taken: 0,
            scratch: Vec::new(),
        };
        session.add("open", b"relp_version=0\nrelp_software=gatewatch\ncommands=syslog", None);
        session.flush().await?;
        let offer = session.answer().await?;
        if !offer.offers("syslog") {
            return Err(session.protocol("it offers no syslog"));
        }
        Ok(session)
    }

    /// Sends messages; waits for answers where too many are missing.
    pub(super) async fn send(&mut self, rendered: &Rendered) -> Result<(), SinkError> {
        for message in rendered.messages() {
            while WINDOW <= self.waiting.len() {
                self.flush().await?;
                self.answer().await?;
            }
            self.messages += 1;
            self.add("syslog", message, Some(self.messages));
        }
        self.flush().await
    }

    /// Waits until every message has its answer; those that are refused for good.
    pub(super) async fn finish(&mut self) -> Result<Vec<DeadLetter>, SinkError> {
        self.answers().await?;
        let mut letters = Vec::new();
        if !self.refused.is_empty() {
            self.blame_messages()?;
            for refusal in std::mem::take(&mut self.refused) {
                self.add("syslog", &refusal.message, Some(refusal.place));
            }
            self.flush().await?;
            self.answers().await?;
            letters.extend(std::mem::take(&mut self.refused).into_iter().map(|refusal| {
                DeadLetter {
                    reason: refusal.answer,
                    body: refusal.message,
                    // The message names its event.
                    ..DeadLetter::default()
                }
            }));
        }
        (self.messages, self.newest_taken) = (0, 0);
        Ok(letters)
    }

    async fn answers(&mut self) -> Result<(), SinkError> {
        while !self.waiting.is_empty() {
            self.answer().await?;
        }
        Ok(())
    }

    /// An error, unless a later message was taken than each of those that were refused.
    fn blame_messages(&self) -> Result<(), SinkError> {
        let last = self.refused.iter().max_by_key(|refusal| refusal.place);
        match last {
            Some(last) if self.newest_taken < last.place => Err(self.refusal(&last.answer)),
            _ => Ok(()),
        }
    }

    fn refusal(&self, answer: &str) -> SinkError {
        let (address, answer) = (self.address.clone(), answer.to_owned());
        SinkError::Refused { address, answer, hint: "", pause: None }
    }

    /// The receiver has ended the session, or the connection, while there was nothing to answer.
    pub(super) async fn ended(&mut self) -> Result<bool, SinkError> {
        let mut buffer = [0; 4096];
        loop {
            match self.connection.hear(&mut buffer).await? {
                Heard::Nothing => return Ok(false),
                Heard::End => return Ok(true),
                Heard::Bytes(length) => self.responses.feed(&buffer[..length]),
            }
            while let Some(response) = self.next_frame()? {
                if response.is_close() {
                    return Ok(true);
                }
                self.settle(&response)?;
            }
        }
    }

    /// Sends a command; `place` is that of a message in the turn.
    fn add(&mut self, command: &str, data: &[u8], place: Option<u64>) {
        self.last = if self.last == NUMBER_MAX { 1 } else { self.last + 1 };
        let message = place.map(|place| (place, data.to_vec()));
        self.waiting.push_back(Sent { number: self.last, message });
        append(self.last, command, data, &mut self.scratch);
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        if !self.scratch.is_empty() {
            self.connection.write(&self.scratch).await?;
            self.scratch.clear();
        }
        Ok(())
    }

    /// Waits for the next answer to something that was sent.
    async fn answer(&mut self) -> Result<Response, SinkError> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(response) = self.next_frame()? {
                if response.is_close() {
                    return Err(SinkError::Closed { address: self.address.clone() });
                }
                self.settle(&response)?;
                return Ok(response);
            }
            match self.connection.listen(&mut buffer).await? {
                0 => return Err(SinkError::Closed { address: self.address.clone() }),
                length => self.responses.feed(&buffer[..length]),
            }
        }
    }

    fn next_frame(&mut self) -> Result<Option<Response>, SinkError> {
        self.responses.next_frame().map_err(|malformed| self.protocol(malformed.0))
    }

    /// Strikes an answered number off.
    fn settle(&mut self, response: &Response) -> Result<(), SinkError> {
        let Some(at) = self.waiting.iter().position(|sent| sent.number == response.number) else {
            return Err(self.protocol("it answers what nobody asked"));
        };
        let (code, text) =
            response.verdict().ok_or_else(|| self.protocol("an answer has no code"))?;
        let message = self.waiting.remove(at).and_then(|sent| sent.message);
        match message {
            Some((place, _)) if code == TAKEN => self.newest_taken = self.newest_taken.max(place),
            None if code == TAKEN => (),
            Some((place, message)) if self.refused.len() < REFUSED_MAX => {
                let answer = escape::cut(&escape::visible(&text), SHOWN_MAX);
                self.refused.push(Refusal { place, message, answer });
            }
            _ => return Err(self.refusal(&escape::cut(&escape::visible(&text), SHOWN_MAX))),
        }
        Ok(())
    }

    fn protocol(&self, reason: &'static str) -> SinkError {
        SinkError::Protocol { address: self.address.clone(), reason }
    }
}

impl Drop for Relp {
    fn drop(&mut self) {
        // Nobody waits for an answer: everything was answered, or is sent again anyway.
        self.scratch.clear();
        self.add("close", b"", None);
        self.connection.say_last(&self.scratch);
    }
}

/// Writes one frame.
fn append(number: u32, command: &str, data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.push(b' ');
    out.extend_from_slice(command.as_bytes());
    out.push(b' ');
    out.extend_from_slice(itoa::Buffer::new().format(data.len()).as_bytes());
    if !data.is_empty() {
        out.push(b' ');
        out.extend_from_slice(data);
    }
    out.push(b'\n');
}
