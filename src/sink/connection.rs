//! A connection to a receiver, whatever lies below it: TCP, TLS or a socket of this machine.
//!
//! What it can prove differs. [`Connection::acknowledged`] waits until the far *kernel* has every
//! byte; nothing below syslog tells whether the far *program* has read them. Dropping a connection
//! ends it in order: close_notify under TLS, then the end of the stream.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;

use super::SinkError;
use super::address::{Address, Target};
use super::tls::{Broken, TlsClient, broken};
use super::unacked::{Ends, unacknowledged};
use crate::units::Period;

/// What the kernel may hold of what the receiver's machine has not acknowledged.
const SEND_BUFFER_BYTES: u32 = 256 << 10;

/// How long a receiver may take to accept a connection, with all of a TLS handshake.
pub(super) const CONNECT_LIMIT: Period = Period::from_secs(10);

/// How long a receiver may take nothing, or acknowledge nothing.
pub(super) const WRITE_LIMIT: Period = Period::from_secs(30);

/// A silent connection is asked whether it still lives: first after this, then in these steps.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(30), Duration::from_secs(10), 3);

/// How long a receiver may take to read the rest and close, when we have nothing more to say.
const PART_LIMIT: Period = Period::from_secs(2);

/// The longest pause between two looks at what is not acknowledged.
const LOOK_MAX: Duration = Duration::from_millis(50);

/// Any stream of bytes.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug> Stream for T {}

/// A connection that is open, as far as is known.
#[derive(Debug)]
pub(super) struct Connection {
    address: String,
    stream: Box<dyn Stream>,
    /// Its ends where it is TCP.
    ends: Option<Ends>,
}

/// What a receiver said without being asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Heard {
    /// Nothing yet.
    Nothing,
    /// So many bytes, in the buffer.
    Bytes(usize),
    /// That it sends nothing any more.
    End,
}

impl Connection {
    /// Opens a connection to `address`, over TLS where it says so.
    pub(super) async fn open(address: &Address, tls: &mut TlsClient) -> Result<Self, SinkError> {
        match timeout(CONNECT_LIMIT.duration(), Self::try_open(address, tls)).await {
            Ok(opened) => opened,
            Err(_) => Err(late(address.to_string(), "accept a connection", CONNECT_LIMIT)),
        }
    }

    async fn try_open(address: &Address, tls: &mut TlsClient) -> Result<Self, SinkError> {
        let failed = |source| network("connect to", &address.to_string(), source);
        let name = address.to_string();
        let (host, port) = match &address.target {
            Target::Machine { host, port } => (host.as_str(), *port),
            Target::Socket(path) => {
                let stream = Box::new(UnixStream::connect(path).await.map_err(failed)?);
                return Ok(Self { address: name, stream, ends: None });
            }
        };
        let tcp = open_tcp(host, port).await.map_err(failed)?;
        let ends = match (tcp.local_addr(), tcp.peer_addr()) {
            (Ok(local), Ok(remote)) => Some(Ends { local, remote }),
            _ => None,
        };
        let stream: Box<dyn Stream> = match address.transport.is_tls() {
            false => Box::new(tcp),
            true => Box::new(tls.connect(host, tcp).await.map_err(|error| match error {
                Broken::Tls(source) => SinkError::Tls { address: name.clone(), source },
                Broken::Network(source) => failed(source),
            })?),
        };
        Ok(Self { address: name, stream, ends })
    }

    /// Hands all of `bytes` to the kernel.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(WRITE_LIMIT.duration(), write).await {
            Ok(written) => written.map_err(|error| self.failed("write to", error)),
            Err(_) => Err(late(self.address.clone(), "take messages", WRITE_LIMIT)),
        }
    }

    /// Hands over what can be without waiting, before the connection is dropped.
    pub(super) fn say_last(&mut self, bytes: &[u8]) {
        let mut context = Context::from_waker(Waker::noop());
        let _: Poll<io::Result<usize>> = Pin::new(&mut self.stream).poll_write(&mut context, bytes);
    }

    /// What the receiver has said by now.
    pub(super) async fn hear(&mut self, buffer: &mut [u8]) -> Result<Heard, SinkError> {
        // Lets the runtime look at the sockets, or the news would come too late.
        tokio::task::yield_now().await;
        let mut buffer = ReadBuf::new(buffer);
        let heard = poll_fn(|context| {
            let read = Pin::new(&mut self.stream).poll_read(context, &mut buffer);
            Poll::Ready(match read {
                Poll::Pending => Ok(Heard::Nothing),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => Ok(Heard::End),
                Poll::Ready(Ok(())) => Ok(Heard::Bytes(buffer.filled().len())),
                Poll::Ready(Err(error)) => Err(error),
            })
        });
        heard.await.map_err(|error| self.failed("read from", error))
    }

    /// Waits for what the receiver says; 0 bytes are the end.
    pub(super) async fn listen(&mut self, buffer: &mut [u8]) -> Result<usize, SinkError> {
        let read = tokio::io::AsyncReadExt::read(&mut self.stream, buffer);
        match timeout(WRITE_LIMIT.duration(), read).await {
            Ok(read) => read.map_err(|error| self.failed("read from", error)),
            Err(_) => Err(late(self.address.clone(), "acknowledge what was sent", WRITE_LIMIT)),
        }
    }

    /// The receiver has ended the connection. What it says otherwise is thrown away.
    pub(super) async fn ended(&mut self) -> Result<bool, SinkError> {
        let mut scratch = [0; 512];
        loop {
            match self.hear(&mut scratch).await? {
                Heard::Nothing => return Ok(false),
                Heard::Bytes(_) => (),
                Heard::End => return Ok(true),
            }
        }
    }

    /// Waits until the far kernel has taken everything that was written; an error when the
    /// connection ended before, or when that takes too long.
    ///
    /// Where the kernel does not tell, and on a socket of this machine, where taking it is all
    /// there is, this only looks whether the connection is still there.
    pub(super) async fn acknowledged(&mut self) -> Result<(), SinkError> {
        let address = self.address.clone();
        let wait = async {
            let mut pause = Duration::from_millis(1);
            loop {
                if self.ended().await? {
                    return Err(SinkError::Closed { address: self.address.clone() });
                }
                let left = self.ends.and_then(unacknowledged).unwrap_or(0);
                if left == 0 {
                    return Ok(());
                }
                tokio::time::sleep(pause).await;
                pause = LOOK_MAX.min(pause * 2);
            }
        };
        let waited = timeout(WRITE_LIMIT.duration(), wait).await;
        waited.unwrap_or_else(|_| Err(late(address, "acknowledge what was sent", WRITE_LIMIT)))
    }

    /// Ends our side, and waits until the receiver ends its own. True when it did so without an
    /// error: a kernel resets the connection of a program that has not read everything.
    pub(super) async fn part(&mut self) -> bool {
        let part = async {
            self.stream.shutdown().await?;
            let mut scratch = [0; 512];
            loop {
                match tokio::io::AsyncReadExt::read(&mut self.stream, &mut scratch).await {
                    Ok(0) => return Ok(()),
                    Ok(_) => (),
                    // TLS without its close_notify.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        };
        matches!(timeout(PART_LIMIT.duration(), part).await, Ok(Ok(())))
    }

    fn failed(&self, action: &'static str, error: io::Error) -> SinkError {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            // TLS without its close_notify: as good as a reset.
            return SinkError::Closed { address: self.address.clone() };
        }
        match broken(error) {
            Broken::Tls(source) => SinkError::Tls { address: self.address.clone(), source },
            Broken::Network(source) => network(action, &self.address, source),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // One attempt without waiting: what does not go out at once is not worth a wait.
        let mut context = Context::from_waker(Waker::noop());
        let _: Poll<io::Result<()>> = Pin::new(&mut self.stream).poll_shutdown(&mut context);
    }
}

fn late(address: String, action: &'static str, limit: Period) -> SinkError {
    SinkError::Timeout { address, action, limit }
}

pub(super) fn network(action: &'static str, address: &str, source: io::Error) -> SinkError {
    SinkError::Network { action, address: address.to_owned(), source }
}

/// Tries each address of the machine's name in turn.
async fn open_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for target in lookup_host((host, port)).await? {
        match open_one(target).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn open_one(target: SocketAddr) -> io::Result<TcpStream> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.set_keepalive(true)?;
    let (idle, between, probes) = KEEPALIVE;
    sockopt::set_tcp_keepidle(&socket, idle)?;
    sockopt::set_tcp_keepintvl(&socket, between)?;
    sockopt::set_tcp_keepcnt(&socket, probes)?;
    sockopt::set_tcp_user_timeout(&socket, WRITE_LIMIT.ms() as u32)?;
    let stream = socket.connect(target).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
