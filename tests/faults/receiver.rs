//! A receiver that breaks on purpose, and writes down what it saw.
//!
//! It lives on a thread of its own. Faults of the network are made below everything else, between
//! the socket and whatever is spoken over it: bytes that are not read, read slowly, or lost in a
//! reset. So a message that was under way there is lost like one in the kernel of a program that
//! died. Faults of the program are made by what it speaks ([`super::speak`]).
//!
//! Invariant: what is in the [`Book`] as taken was taken before its answer left.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use gatewatch::io::{Chance as _, Seeded};
use rustix::net::sockopt;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::net::tcp::{ReadHalf as TcpIn, WriteHalf as TcpOut};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use super::speak::{self, Way};

/// What is wrong with the receiver.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Its port is closed, as after a kill -9.
    Down,
    /// It takes connections and reads nothing.
    Hung,
    /// It reads 1 kB a second.
    Slow,
    /// It resets each connection after some bytes.
    Reset,
    /// It refuses what it reads, in all the ways of its protocol.
    Refusing,
    /// It says to every request that it has no time now.
    Busy,
    /// Its certificate has expired.
    Expired,
}

/// A fault from now on, and what becomes of the connections that are open.
#[derive(Clone, Copy, Debug)]
struct Setting {
    fault: Fault,
    /// They are reset. Otherwise they go on, under the new fault.
    cut: bool,
}

/// A connection as the receiver saw it.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    /// Bytes of the log that the sink had saved as delivered when it was opened.
    pub(crate) confirmed: u64,
    /// Ids of what was read whole on it, taken or not, with their lengths.
    pub(crate) seen: Vec<(String, usize)>,
}

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) talks: Vec<Talk>,
    /// Each event that was taken, by its id.
    pub(crate) taken: HashMap<String, Vec<u8>>,
    /// How many of them came again.
    pub(crate) repeats: u64,
    /// Those that were refused for good at least once.
    pub(crate) refused: HashSet<String>,
    /// Those that were answered alone with an error of the receiver's own.
    pub(crate) broken: HashSet<String>,
    /// Those that were refused for good without saying which.
    pub(crate) unnamed: HashSet<String>,
    /// How often each fault was met.
    pub(crate) met: HashMap<Fault, u64>,
    /// What should never happen.
    pub(crate) wrong: Vec<String>,
}

impl Book {
    /// An event was taken; the same id has the same bytes.
    pub(crate) fn take(&mut self, id: &str, bytes: &[u8]) {
        match self.taken.get(id) {
            None => {
                self.taken.insert(id.to_owned(), bytes.to_owned());
            }
            Some(before) if before == bytes => self.repeats += 1,
            Some(before) => {
                let (before, after) =
                    (String::from_utf8_lossy(before), String::from_utf8_lossy(bytes));
                self.wrong.push(format!("{id} with other bytes:\n{before}\n{after}"));
            }
        }
    }
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) way: Way,
    book: Mutex<Book>,
    chance: Mutex<Seeded>,
    setting: watch::Receiver<Setting>,
    confirmed: Mutex<Box<dyn FnMut() -> u64 + Send>>,
    pub(crate) papers: Option<speak::Papers>,
}

impl Shared {
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("sound")
    }

    /// A number from `low` to `high`.
    pub(crate) fn between(&self, low: u64, high: u64) -> u64 {
        low + self.chance.lock().expect("sound").next_u64() % (high - low + 1)
    }

    pub(crate) fn fault(&self) -> Fault {
        self.setting.borrow().fault
    }

    /// An event was read whole on the connection `talk`.
    pub(crate) fn see(&self, talk: usize, id: &str, length: usize) {
        self.book().talks[talk].seen.push((id.to_owned(), length));
    }

    fn meet(&self, fault: Fault) {
        *self.book().met.entry(fault).or_default() += 1;
    }

    fn open_talk(&self) -> usize {
        let confirmed = (self.confirmed.lock().expect("sound"))();
        let mut book = self.book();
        book.talks.push(Talk { confirmed, seen: Vec::new() });
        book.talks.len() - 1
    }
}

/// The receiver.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    change: watch::Sender<Setting>,
}

impl Receiver {
    /// Begins without a fault. `confirmed` tells how much of the log the sink has saved as
    /// delivered.
    pub(crate) fn start(
        way: Way,
        seed: u64,
        papers: Option<speak::Papers>,
        confirmed: impl FnMut() -> u64 + Send + 'static,
    ) -> Self {
        let (change, setting) = watch::channel(Setting { fault: Fault::None, cut: false });
        let shared = Arc::new(Shared {
            way,
            book: Mutex::default(),
            chance: Mutex::new(Seeded::new(seed)),
            setting,
            confirmed: Mutex::new(Box::new(confirmed)),
            papers,
        });
        let address = free_address();
        let worker = Arc::clone(&shared);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(listen(worker, address));
        });
        Self { address, shared, change }
    }

    /// Has another fault from now on.
    pub(crate) fn set(&self, fault: Fault, cut: bool) {
        self.change.send_replace(Setting { fault, cut });
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.book()
    }

    /// How often `fault` was met so far.
    pub(crate) fn met(&self, fault: Fault) -> u64 {
        self.book().met.get(&fault).copied().unwrap_or(0)
    }
}

/// A port that is free, and none of those that outgoing connections take: it is closed and opened
/// again.
fn free_address() -> SocketAddr {
    let start = 12_000 + (Seeded::from_machine().next_u64() % 18_000) as u16;
    let mut ports = (start..32_000).chain(12_000..start);
    let free = ports.find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
    ([127, 0, 0, 1], free.expect("a free port")).into()
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(64)
}

/// Takes connections while the port is open; ends with its [`Receiver`].
async fn listen(shared: Arc<Shared>, address: SocketAddr) {
    let mut setting = shared.setting.clone();
    let mut listener = None;
    loop {
        let down = setting.borrow_and_update().fault == Fault::Down;
        if down {
            listener = None;
        } else if listener.is_none() {
            listener = Some(bind(address).expect("the port is ours"));
        }
        let accept = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = accept => if let Ok((tcp, _)) = accepted {
                // In the order of opening, before anything on a later one can be answered.
                let talk = shared.open_talk();
                tokio::spawn(serve(Arc::clone(&shared), tcp, talk));
            },
            changed = setting.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

/// Bytes between the socket and what is spoken: few, so that little is lost in between.
const BETWEEN: usize = 4096;

async fn serve(shared: Arc<Shared>, mut tcp: TcpStream, talk: usize) {
    let fault = shared.fault();
    if matches!(fault, Fault::Hung | Fault::Expired | Fault::Refusing | Fault::Busy) {
        shared.meet(fault);
    }
    let (inner, outer) = tokio::io::duplex(BETWEEN);
    let speaker = tokio::spawn(speak::speak(Arc::clone(&shared), talk, fault, inner));
    let (from_speaker, to_speaker) = tokio::io::split(outer);
    let is_reset = {
        let (tcp_in, tcp_out) = tcp.split();
        tokio::select! {
            is_reset = inward(&shared, tcp_in, to_speaker) => is_reset,
            () = outward(from_speaker, tcp_out) => false,
        }
    };
    if is_reset {
        // Closing it now resets it. It fails where the other end has done so before.
        let _ = sockopt::set_socket_linger(&tcp, Some(Duration::ZERO));
    }
    drop(tcp);
    // It finds the end of its stream.
    if let Err(error) = speaker.await {
        shared.book().wrong.push(error.to_string());
    }
}

/// From the socket to what is spoken, under the present fault; true when the connection is to be
/// reset. Does not end by itself when the other end has: an answer may be on its way.
async fn inward(
    shared: &Shared,
    mut tcp: TcpIn<'_>,
    mut to_speaker: WriteHalf<DuplexStream>,
) -> bool {
    let mut setting = shared.setting.clone();
    let mut left = shared.between(1, 9000) as usize;
    let mut buffer = [0; 2048];
    let mut has_ended = false;
    loop {
        let Setting { fault, .. } = *setting.borrow_and_update();
        let most = match fault {
            Fault::Slow => 100,
            Fault::Reset => left,
            _ => buffer.len(),
        };
        let most = most.min(buffer.len());
        tokio::select! {
            changed = setting.changed() => {
                let Setting { fault, cut } = *setting.borrow();
                if changed.is_err() || cut || fault == Fault::Down {
                    return true;
                }
                if fault == Fault::Hung {
                    shared.meet(fault);
                }
            },
            read = tcp.read(&mut buffer[..most]), if fault != Fault::Hung && !has_ended => {
                let Ok(length) = read else { return true };
                // What is spoken may be over while bytes come.
                let _ = to_speaker.write_all(&buffer[..length]).await;
                has_ended = length == 0;
                if has_ended {
                    let _ = to_speaker.shutdown().await;
                    continue;
                }
                if matches!(fault, Fault::Slow | Fault::Reset) {
                    shared.meet(fault);
                }
                if fault == Fault::Slow {
                    tokio::time::sleep(Duration::from_millis(length as u64)).await;
                }
                if fault == Fault::Reset {
                    left -= length;
                    if left == 0 {
                        return true;
                    }
                }
            },
        }
    }
}

/// From what is spoken to the socket, until there is nothing more to say.
async fn outward(mut from_speaker: ReadHalf<DuplexStream>, mut tcp: TcpOut<'_>) {
    let mut buffer = [0; 2048];
    while let Ok(length) = from_speaker.read(&mut buffer).await {
        if length == 0 || tcp.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    // It may be closed already.
    let _ = tcp.shutdown().await;
}
