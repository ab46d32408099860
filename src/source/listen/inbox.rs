//! The inbox of one listener: lines that were received and wait for the pipeline.
//!
//! Lines of one sender are put together as they come, so that the pipeline takes few large blocks
//! and not one for each message. It is filled by the listeners' tasks and emptied by the pipeline's
//! thread; nothing else passes between the two.
//!
//! Invariant: its limit and one part of a sender's lines wait at most. Then `Inbox::put`
//! waits, so that its task reads no more: TCP makes the sender wait, and datagrams wait in the
//! kernel, which counts what it drops.

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::framing::Lines;
use crate::io::Waker;
use crate::source::lines::BLOCK_BYTES;

/// Bytes of datagrams that may wait: what finds no room is lost, so there is much of it.
pub(super) const DATAGRAM_INBOX_BYTES: usize = 4 << 20;

/// Bytes of other lines that may wait: senders wait too, and what waits is lost if we are killed.
pub(super) const STREAM_INBOX_BYTES: usize = 1 << 20;

/// Senders whose lines are kept apart at a time. The address of a datagram can be invented: what
/// comes from more senders than this is put together, without an address.
const SENDERS_MAX: usize = 64;

/// Told when the lines it came with are safe in the store.
pub type Receipt = oneshot::Sender<()>;

/// Who sent a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sender {
    /// An address of the network.
    Address(IpAddr),
    /// A program of this machine, or one of too many senders.
    Unnamed,
}

/// Lines of one sender, in the order they came.
#[derive(Debug)]
pub struct Parcel {
    /// Where they come from: `syslog://192.0.2.7`, or the file of a socket.
    pub path: Arc<Path>,
    /// The lines with their line feeds.
    pub bytes: Vec<u8>,
    /// The last line was longer than the limit and has no line feed.
    pub truncated_last: bool,
    /// Who waits for them to be stored.
    pub receipts: Vec<Receipt>,
}

/// The listener takes no more lines: it is about to end.
#[derive(Debug)]
pub(super) struct Closed;

/// Lines on their way from the tasks of a listener to the pipeline.
pub struct Inbox {
    /// What the paths of its parcels begin with, or are.
    name: String,
    /// Bytes that may wait.
    limit_bytes: usize,
    waker: Arc<Waker>,
    /// Rung when there is room again.
    room: Notify,
    state: Mutex<State>,
    /// The store takes no lines at present.
    held: AtomicBool,
}

#[derive(Default)]
struct State {
    trays: VecDeque<Tray>,
    bytes: usize,
    closed: bool,
    /// Nobody will put anything any more.
    ended: bool,
}

struct Tray {
    sender: Sender,
    lines: Vec<u8>,
    truncated_last: bool,
    receipts: Vec<Receipt>,
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Inbox {
    /// An empty one; `waker` is rung when there is something to take.
    pub(super) fn new(name: String, limit_bytes: usize, waker: Arc<Waker>) -> Self {
        let (room, state) = (Notify::new(), Mutex::default());
        Self { name, limit_bytes, waker, room, state, held: AtomicBool::new(false) }
    }

    /// Waits for room, and puts all of `lines` into the same place, or none.
    pub(super) async fn put(
        &self,
        sender: Sender,
        lines: &Lines,
        receipt: Option<Receipt>,
    ) -> Result<(), Closed> {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            // Whoever makes room after this is heard.
            room.as_mut().enable();
            {
                let mut state = self.lock();
                if state.closed {
                    return Err(Closed);
                }
                if state.bytes < self.limit_bytes {
                    let before = state.bytes;
                    state.put(sender, lines, receipt);
                    let half = self.limit_bytes / 2;
                    let crossed = before < half && half <= state.bytes;
                    if before == 0 || crossed {
                        self.waker.wake();
                    }
                    return Ok(());
                }
            }
            room.await;
        }
    }

    /// The lines that have waited longest.
    pub fn take(&self) -> Option<Parcel> {
        let tray = {
            let mut state = self.lock();
            let tray = state.trays.pop_front()?;
            state.bytes -= tray.lines.len();
            tray
        };
        self.room.notify_waiters();
        let path = match tray.sender {
            Sender::Address(IpAddr::V4(address)) => format!("{}{address}", self.name),
            Sender::Address(IpAddr::V6(address)) => format!("{}[{address}]", self.name),
            Sender::Unnamed => self.name.clone(),
        };
        Some(Parcel {
            path: PathBuf::from(path).into(),
            bytes: tray.lines,
            truncated_last: tray.truncated_last,
            receipts: tray.receipts,
        })
    }

    /// Bytes that wait.
    pub fn waiting_bytes(&self) -> usize {
        self.lock().bytes
    }

    /// So much waits that it should be taken at once.
    pub fn is_pressed(&self) -> bool {
        self.limit_bytes / 2 <= self.waiting_bytes()
    }

    /// Takes note of whether lines can be stored at present.
    pub fn hold(&self, held: bool) {
        self.held.store(held, Ordering::SeqCst);
    }

    /// Lines cannot be stored at present: who can be told should be.
    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::SeqCst)
    }

    /// Takes no more. Who waits for room is refused.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.room.notify_waiters();
    }

    /// Nobody will put anything any more.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.waker.wake();
    }

    /// Nobody will put anything any more, whatever still waits.
    pub fn has_ended(&self) -> bool {
        let state = self.lock();
        state.ended || state.closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is complete before the lock is let go.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, sender: Sender, lines: &Lines, receipt: Option<Receipt>) {
        let mut start = 0;
        let ends = lines.cuts.iter().map(|end| (*end, true)).chain([(lines.bytes.len(), false)]);
        for (end, cut) in ends.filter(|(end, _)| *end != 0) {
            if start < end {
                self.append(sender, &lines.bytes[start..end], cut);
            }
            start = end;
        }
        // What came before is taken before it.
        if let (Some(receipt), Some(last)) = (receipt, self.trays.back_mut()) {
            last.receipts.push(receipt);
        }
    }

    fn append(&mut self, sender: Sender, lines: &[u8], cut: bool) {
        self.bytes += lines.len();
        let is_open =
            |tray: &Tray| !tray.truncated_last && tray.lines.len() + lines.len() <= BLOCK_BYTES;
        let known = self.trays.iter().rposition(|tray| tray.sender == sender);
        let sender = match known {
            None if SENDERS_MAX <= self.trays.len() => Sender::Unnamed,
            _ => sender,
        };
        let place = self.trays.iter().rposition(|tray| tray.sender == sender);
        let place = place.filter(|place| is_open(&self.trays[*place]));
        let place = place.unwrap_or_else(|| {
            let lines = Vec::new();
            self.trays.push_back(Tray {
                sender,
                lines,
                truncated_last: false,
                receipts: Vec::new(),
            });
            self.trays.len() - 1
        });
        let tray = &mut self.trays[place];
        tray.lines.extend_from_slice(lines);
        tray.truncated_last = cut;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox() -> Inbox {
        Inbox::new("syslog://".to_owned(), DATAGRAM_INBOX_BYTES, Arc::default())
    }

    fn sender(last: u8) -> Sender {
        Sender::Address(IpAddr::from([192, 0, 2, last]))
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(future)
    }

    fn put(inbox: &Inbox, sender: Sender, text: &str) {
        run(inbox.put(sender, &Lines::of_text(text.as_bytes(), 8), None)).expect("it is open");
    }

    fn all(inbox: &Inbox) -> Vec<String> {
        let parcels = std::iter::from_fn(|| inbox.take());
        let shown = |parcel: Parcel| {
            let mark = if parcel.truncated_last { "…" } else { "" };
            format!("{} {}{mark}", parcel.path.display(), String::from_utf8_lossy(&parcel.bytes))
        };
        parcels.map(shown).collect()
    }

    #[test]
    fn lines_of_one_sender_are_put_together_in_their_order() {
        let inbox = inbox();
        put(&inbox, sender(1), "one");
        put(&inbox, sender(2), "two");
        put(&inbox, sender(1), "three\nfour");
        assert_eq!(19, inbox.waiting_bytes());
        assert_eq!(
            ["syslog://192.0.2.1 one\nthree\nfour\n", "syslog://192.0.2.2 two\n"],
            *all(&inbox)
        );
        assert_eq!(0, inbox.waiting_bytes());
    }

    #[test]
    fn nothing_follows_a_cut_line() {
        let inbox = inbox();
        put(&inbox, sender(1), "a\n123456789\nb\n123456789");
        put(&inbox, sender(1), "c");
        let expected = ["a\n12345678…", "b\n12345678…", "c\n"];
        assert_eq!(expected.map(|text| format!("syslog://192.0.2.1 {text}")), *all(&inbox));
    }

    #[test]
    fn too_many_senders_lose_their_names_and_nothing_else() {
        let inbox = inbox();
        for last in 0..=255 {
            put(&inbox, sender(last), "line");
        }
        let parcels = all(&inbox);
        assert_eq!(SENDERS_MAX + 1, parcels.len());
        assert_eq!(256, parcels.concat().matches("line\n").count());
        assert!(parcels[SENDERS_MAX].starts_with("syslog:// line\n"), "{}", parcels[SENDERS_MAX]);
    }

    #[test]
    fn one_that_is_full_lets_nobody_in_until_something_is_taken() {
        let inbox = inbox();
        let line = "1234567\n".repeat(BLOCK_BYTES / 8);
        let mut blocks = 0;
        while inbox.waiting_bytes() < DATAGRAM_INBOX_BYTES {
            put(&inbox, sender(1), &line);
            blocks += 1;
        }
        assert_eq!(DATAGRAM_INBOX_BYTES / BLOCK_BYTES, blocks);
        assert!(inbox.is_pressed());
        let lines = Lines::of_text(b"more", 8);
        let waited = run(async {
            let put = inbox.put(sender(1), &lines, None);
            tokio::pin!(put);
            let waits = tokio::select! {
                biased;
                _ = &mut put => false,
                () = tokio::task::yield_now() => true,
            };
            drop(inbox.take());
            put.await.expect("there is room");
            waits
        });
        assert!(waited);
        assert_eq!(DATAGRAM_INBOX_BYTES - BLOCK_BYTES + 5, inbox.waiting_bytes());
    }

    #[test]
    fn a_closed_one_refuses_and_keeps_what_it_has() {
        let inbox = inbox();
        put(&inbox, Sender::Unnamed, "one");
        inbox.close();
        assert!(run(inbox.put(sender(1), &Lines::of_text(b"two", 8), None)).is_err());
        assert!(inbox.has_ended());
        assert_eq!(["syslog:// one\n"], *all(&inbox));
    }

    #[test]
    fn a_receipt_lies_with_the_last_of_its_lines() {
        let inbox = inbox();
        put(&inbox, sender(1), "one");
        put(&inbox, sender(2), "two");
        let (receipt, _told) = oneshot::channel();
        let lines = Lines::of_text(b"123456789\nthree", 8);
        run(inbox.put(sender(1), &lines, Some(receipt))).expect("it is open");
        let counts: Vec<usize> =
            std::iter::from_fn(|| inbox.take()).map(|parcel| parcel.receipts.len()).collect();
        assert_eq!([0, 0, 1], *counts);
    }
}
