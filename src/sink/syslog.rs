//! The syslog sink: messages over TCP or UDP.
//!
//! Plain syslog has no acknowledgement. A write that succeeded says only that this machine's
//! kernel took the bytes; if the receiver stops, what is on the way or was not yet read by its
//! syslog program is gone. Over TCP that gap is made small:
//!
//! - before each write the connection is asked whether the receiver has closed it;
//! - the kernel may hold back little ([`SEND_BUFFER_BYTES`]), and more than that of what was sent
//!   last is kept and goes over the next connection first. After an error that is all of it; after
//!   an orderly close, which a receiver does when it has read everything, only what was written in
//!   the last moments;
//! - a turn that met an error is sent again as a whole.
//!
//! So a receiver may see an event twice, with the same `event.id`. What it had taken and not kept
//! when it died, and whatever UDP loses, stays lost. A receiver on the same machine that keeps a
//! queue on its disk closes the gap.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream, UdpSocket, lookup_host};
use tokio::time::timeout;

use super::config::{Address, Framing, SinkCommon, SyslogConfig, Transport};
use super::message::{Mark, MessageWriter};
use super::{Chosen, Rendered, SinkContext, SinkError};
use crate::engine::detect::Alert;
use crate::engine::render::Encoder;
use crate::units::{Period, Timestamp};

/// Longest message over TCP, because a common receiver makes several of one beyond 8096 bytes.
const TCP_MESSAGE_BYTES_MAX: u64 = 8000;

/// Longest datagram: receivers should take 2048 bytes (RFC 5426, section 3.2).
const UDP_MESSAGE_BYTES_MAX: u64 = 2048;

/// Longest datagram that IPv4 can carry.
const DATAGRAM_BYTES_MAX: u64 = 65_507;

/// What the kernel may hold of what the receiver's machine has not acknowledged.
const SEND_BUFFER_BYTES: u32 = 256 << 10;

/// What is kept to be sent again. More than the kernel holds, which doubles what it is asked for.
const KEPT_BYTES: usize = 1 << 20;

/// After an orderly close, what was written this recently may have crossed it on the way.
const CROSSING: Period = Period::from_secs(30);

const CONNECT_LIMIT: Period = Period::from_secs(10);
const WRITE_LIMIT: Period = Period::from_secs(30);

/// A sink that sends syslog messages.
#[derive(Debug)]
pub struct SyslogSink {
    address: Address,
    messages: MessageWriter,
    link: Link,
    /// Something of the present turn was sent over the present connection.
    within_turn: bool,
    kept: Kept,
}

#[derive(Debug)]
enum Link {
    Down,
    Tcp(TcpStream),
    Udp(UdpSocket),
}

impl SyslogSink {
    /// A sink as `config` describes it; connects when there is something to send.
    pub fn new(config: &SyslogConfig, common: &SinkCommon, context: &SinkContext) -> Self {
        let encoder = Encoder::new(config.encoding, &context.agent, common.keep_original)
            .showing_secrets(common.show_secrets);
        let (limit, ceiling, mark) = match (config.address.transport, config.framing) {
            (Transport::Udp, _) => (UDP_MESSAGE_BYTES_MAX, DATAGRAM_BYTES_MAX, Mark::None),
            (Transport::Tcp, Framing::Auto | Framing::Lf) => {
                (TCP_MESSAGE_BYTES_MAX, u64::MAX, Mark::LineFeed)
            }
            (Transport::Tcp, Framing::OctetCounting) => {
                (TCP_MESSAGE_BYTES_MAX, u64::MAX, Mark::Length)
            }
        };
        let max = config.max_message.map_or(limit, |size| size.0.min(ceiling)) as usize;
        let program = (config.app_name.as_str(), context.pid);
        Self {
            address: config.address.clone(),
            messages: MessageWriter::new(encoder, config.facility, program, max, mark),
            link: Link::Down,
            within_turn: false,
            kept: Kept::default(),
        }
    }

    pub(super) fn render(
        &mut self,
        chosen: Chosen<'_>,
        from: usize,
        created: Timestamp,
        out: &mut Rendered,
    ) -> usize {
        self.messages.render(chosen, from, created, out)
    }

    pub(super) fn render_alert(&mut self, alert: &Alert, host: &str, out: &mut Rendered) {
        self.messages.render_alert(alert, host, out);
    }

    /// A turn begins, for the first time or anew.
    pub(super) fn begin(&mut self) {
        self.within_turn = false;
    }

    /// Sends whole messages. After an error the turn has to begin anew.
    pub(super) async fn send(
        &mut self,
        rendered: &Rendered,
        now: Timestamp,
    ) -> Result<(), SinkError> {
        let sent = self.try_send(rendered, now).await;
        if sent.is_err() {
            self.link = Link::Down;
        }
        sent
    }

    async fn try_send(&mut self, rendered: &Rendered, now: Timestamp) -> Result<(), SinkError> {
        self.drop_closed(now).await?;
        if matches!(self.link, Link::Down) {
            self.connect().await?;
        }
        self.within_turn = true;
        match &mut self.link {
            Link::Tcp(stream) => {
                write(stream, &rendered.bytes, &self.address).await?;
                self.kept.push(&rendered.bytes, now);
            }
            Link::Udp(socket) => {
                for message in rendered.messages() {
                    let sent = socket.send(message).await;
                    sent.map_err(|source| network("send to", &self.address, source))?;
                }
            }
            Link::Down => unreachable!("connect() returns an error or a link"),
        }
        Ok(())
    }

    /// Gives up a connection that the receiver has closed. Within a turn that is an error: its
    /// first part may be lost.
    async fn drop_closed(&mut self, now: Timestamp) -> Result<(), SinkError> {
        let Link::Tcp(stream) = &self.link else { return Ok(()) };
        // Lets the runtime look at the sockets, or the news would come too late.
        tokio::task::yield_now().await;
        let closed = peer_closed(stream);
        match closed {
            Ok(false) => return Ok(()),
            Ok(true) if !self.within_turn => self.kept.forget_before(now.minus(CROSSING)),
            Ok(true) | Err(_) => (),
        }
        self.link = Link::Down;
        if self.within_turn {
            return Err(SinkError::Closed { address: self.address.to_string() });
        }
        Ok(())
    }

    async fn connect(&mut self) -> Result<(), SinkError> {
        let limit = CONNECT_LIMIT.duration();
        let connected = timeout(limit, open_link(&self.address)).await;
        self.link = connected
            .map_err(|_| self.late("accept a connection", CONNECT_LIMIT))?
            .map_err(|source| network("connect to", &self.address, source))?;
        if let Link::Tcp(stream) = &mut self.link {
            for bytes in self.kept.blocks() {
                write(stream, bytes, &self.address).await?;
            }
        }
        Ok(())
    }

    fn late(&self, action: &'static str, limit: Period) -> SinkError {
        SinkError::Timeout { address: self.address.to_string(), action, limit }
    }
}

fn network(action: &'static str, address: &Address, source: io::Error) -> SinkError {
    SinkError::Network { action, address: address.to_string(), source }
}

async fn write(stream: &mut TcpStream, bytes: &[u8], address: &Address) -> Result<(), SinkError> {
    match timeout(WRITE_LIMIT.duration(), stream.write_all(bytes)).await {
        Ok(written) => written.map_err(|source| network("write to", address, source)),
        Err(_) => Err(SinkError::Timeout {
            address: address.to_string(),
            action: "take messages",
            limit: WRITE_LIMIT,
        }),
    }
}

/// Looks whether the receiver has ended the connection; what it says otherwise is thrown away.
fn peer_closed(stream: &TcpStream) -> io::Result<bool> {
    let mut scratch = [0; 512];
    loop {
        match stream.try_read(&mut scratch) {
            Ok(0) => return Ok(true),
            Ok(_) => (),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// Tries each address of the receiver's name in turn.
async fn open_link(address: &Address) -> io::Result<Link> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for target in lookup_host((address.host.as_str(), address.port)).await? {
        let opened = match address.transport {
            Transport::Tcp => open_tcp(target).await.map(Link::Tcp),
            Transport::Udp => open_udp(target).await.map(Link::Udp),
        };
        match opened {
            Ok(link) => return Ok(link),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn open_tcp(target: SocketAddr) -> io::Result<TcpStream> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.set_keepalive(true)?;
    let stream = socket.connect(target).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn open_udp(target: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match target {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(target).await?;
    Ok(socket)
}

/// What was written last, in whole messages.
#[derive(Debug, Default)]
struct Kept {
    blocks: VecDeque<(Timestamp, Vec<u8>)>,
    bytes: usize,
}

impl Kept {
    fn push(&mut self, bytes: &[u8], now: Timestamp) {
        let mut reused = Vec::new();
        while let Some((_, oldest)) = self.blocks.front()
            && KEPT_BYTES <= self.bytes - oldest.len()
        {
            self.bytes -= oldest.len();
            reused = self.blocks.pop_front().map(|(_, block)| block).unwrap_or_default();
        }
        reused.clear();
        reused.extend_from_slice(bytes);
        self.bytes += reused.len();
        self.blocks.push_back((now, reused));
    }

    fn forget_before(&mut self, time: Timestamp) {
        self.blocks.retain(|(written, _)| time <= *written);
        self.bytes = self.blocks.iter().map(|(_, block)| block.len()).sum();
    }

    fn blocks(&self) -> impl Iterator<Item = &[u8]> {
        self.blocks.iter().map(|(_, block)| block.as_slice())
    }
}
