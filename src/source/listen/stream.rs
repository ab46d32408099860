//! Connections: accepts them, within limits, and hands each to whoever speaks with it.
//!
//! Invariant: a connection costs its place, its read buffer and one line, and it must finish within
//! [`MESSAGE_LIMIT`] what it has begun. So whoever connects and says nothing, or a byte now and
//! then, holds a place and no more.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::Desk;
use super::framing::{Framer, Lines};
use super::inbox::{Closed, Sender};
use super::push::Push;
use super::status::Refusal;
use crate::units::Period;

/// Connections of one listener; one more is closed at once, and counted.
pub(super) const CONNECTIONS_MAX: usize = 256;

/// Time for TLS to be agreed on.
const HANDSHAKE_LIMIT: Period = Period::from_secs(10);

/// Time for a message to end that has begun.
const MESSAGE_LIMIT: Period = Period::from_secs(60);

/// Wait after the system refused to accept a connection, mostly for want of file descriptors.
const ACCEPT_RETRY: Period = Period::from_secs(1);

/// A peer that is gone without a word is noticed after this, and some more minutes.
const KEEPALIVE_AFTER: Period = Period::from_secs(300);

const READ_BYTES: usize = 16 << 10;

/// What is read of a connection after the word to stop, if it is there already.
const LAST_BYTES: usize = 1 << 20;

/// What takes connections.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// What is spoken on them.
#[derive(Clone, Debug)]
pub(super) enum Talk {
    Syslog,
    Push(Arc<Push>),
}

/// A byte stream in both directions.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// Serves connections until told to stop; ends when all of them have ended.
pub(super) async fn serve(
    listener: Listener,
    tls: Option<TlsAcceptor>,
    talk: Talk,
    desk: Arc<Desk>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener) => accepted,
            () = desk.stopped() => break,
            Some(_) = connections.join_next() => continue,
        };
        let (stream, sender) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "{} cannot accept a connection; trying again", desk.name);
                sleep(ACCEPT_RETRY.duration()).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            desk.refuse(Refusal::Connections, "all places for connections are taken");
            continue;
        };
        let place = Place::take(place, Arc::clone(&desk));
        connections.spawn(meet(stream, sender, tls.clone(), talk.clone(), place));
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// A connection's place, counted as long as it is held.
struct Place {
    _permit: OwnedSemaphorePermit,
    desk: Arc<Desk>,
}

impl Place {
    fn take(permit: OwnedSemaphorePermit, desk: Arc<Desk>) -> Self {
        desk.status.opened();
        Self { _permit: permit, desk }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.desk.status.closed();
    }
}

/// A connection of either kind of socket.
enum Accepted {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

async fn accept(listener: &Listener) -> io::Result<(Accepted, Sender)> {
    match listener {
        Listener::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            // Whether the kernel keeps an eye on the peer is a matter of comfort.
            let _ = rustix::net::sockopt::set_socket_keepalive(&stream, true);
            let after = KEEPALIVE_AFTER.duration();
            let _ = rustix::net::sockopt::set_tcp_keepidle(&stream, after);
            let address: IpAddr = peer.ip().to_canonical();
            Ok((Accepted::Tcp(stream), Sender::Address(address)))
        }
        Listener::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            Ok((Accepted::Unix(stream), Sender::Unnamed))
        }
    }
}

async fn meet(
    stream: Accepted,
    sender: Sender,
    tls: Option<TlsAcceptor>,
    talk: Talk,
    place: Place,
) {
    let desk = &place.desk;
    match (stream, tls) {
        (Accepted::Tcp(stream), None) => speak(stream, sender, &talk, desk).await,
        (Accepted::Unix(stream), _) => speak(stream, sender, &talk, desk).await,
        (Accepted::Tcp(stream), Some(tls)) => {
            let agreed = tokio::select! {
                agreed = timeout(HANDSHAKE_LIMIT.duration(), tls.accept(stream)) => agreed,
                () = desk.stopped() => return,
            };
            match agreed {
                Ok(Ok(stream)) => speak(stream, sender, &talk, desk).await,
                Ok(Err(error)) => desk.refuse(Refusal::Tls, &error.to_string()),
                Err(_) => desk.refuse(Refusal::Tls, "the handshake takes too long"),
            }
        }
    }
}

async fn speak(stream: impl Stream, sender: Sender, talk: &Talk, desk: &Arc<Desk>) {
    match talk {
        Talk::Syslog => take_messages(stream, sender, desk).await,
        Talk::Push(push) => push.answer(stream, sender, desk).await,
    }
}

/// Takes syslog messages until the connection ends. What has come of the last one is kept as a line.
async fn take_messages(mut stream: impl Stream, sender: Sender, desk: &Desk) {
    let mut messages = Messages {
        framer: Framer::new(desk.line_bytes_max),
        buffer: vec![0; READ_BYTES],
        lines: Lines::default(),
        sender,
        desk,
    };
    if messages.read_all(&mut stream).await.is_err() {
        // A closed inbox means that nobody is left to store them.
        return;
    }
    if messages.framer.is_within() {
        desk.status.add_unfinished();
        tracing::debug!("{}: a connection ended within a message", desk.name);
    }
    messages.framer.finish(&mut messages.lines);
    let _ = desk.put(sender, &mut messages.lines).await;
}

/// The messages of a connection, on their way to the inbox.
struct Messages<'d> {
    framer: Framer,
    buffer: Vec<u8>,
    lines: Lines,
    sender: Sender,
    desk: &'d Desk,
}

impl Messages<'_> {
    async fn read_all(&mut self, stream: &mut impl Stream) -> Result<(), Closed> {
        // The message that the clock runs for.
        let mut timed = None;
        let mut clock = Box::pin(sleep(MESSAGE_LIMIT.duration()));
        loop {
            if self.framer.is_within() && timed != Some(self.framer.messages()) {
                timed = Some(self.framer.messages());
                clock = Box::pin(sleep(MESSAGE_LIMIT.duration()));
            }
            let read = tokio::select! {
                // What is there is read before anything is held against the sender.
                biased;
                () = self.desk.stopped() => return self.read_last(stream).await,
                read = stream.read(&mut self.buffer) => read,
                () = &mut clock, if self.framer.is_within() => {
                    tracing::debug!("{}: a message takes too long; closing", self.desk.name);
                    return Ok(());
                }
            };
            match read {
                // A peer that breaks off has said what it had to say.
                Ok(0) | Err(_) => return Ok(()),
                Ok(length) => self.take(length).await?,
            }
        }
    }

    /// Reads what has come before the word to stop.
    async fn read_last(&mut self, stream: &mut impl Stream) -> Result<(), Closed> {
        let mut left = LAST_BYTES;
        while let Ok(Ok(length)) = timeout(Duration::ZERO, stream.read(&mut self.buffer)).await
            && 0 < length
            && 0 < left
        {
            left = left.saturating_sub(length);
            self.take(length).await?;
        }
        Ok(())
    }

    /// Takes the first bytes of the buffer.
    async fn take(&mut self, length: usize) -> Result<(), Closed> {
        self.framer.push(&self.buffer[..length], &mut self.lines);
        self.desk.put(self.sender, &mut self.lines).await
    }
}
