//! The syslog sink: messages over TCP, TLS, RELP, datagrams or a socket of this machine.
//!
//! How much a delivery proves depends on the transport:
//!
//! - RELP: the receiver's program has taken each message (`relp`).
//! - TCP and TLS: the receiver's *kernel* has all bytes of the turn, and the connection still
//!   stood then. What its program had not read when it died is gone from there.
//! - a Unix socket: the kernel of this machine has them, and so has the program unless it dies.
//! - datagrams over UDP: they left.
//!
//! The gap of TCP and TLS is made small:
//!
//! - before each write, and before a turn counts as delivered, the connection is asked whether
//!   the receiver has closed it;
//! - the kernel may hold back little, and more than that of what was sent last is kept and goes
//!   over the next connection first. After an error that is all of it; after an orderly close
//!   (close_notify under TLS), which a receiver does when it has read everything, only what was
//!   written in the last moments;
//! - a turn that met an error is sent again as a whole;
//! - after a crash of ours what was sent last is gone from memory. So the store remembers with the
//!   cursor where it began, and the next start begins there. An orderly end waits until the
//!   receiver has closed the connection, too, which it does without an error only when it has read
//!   everything; then nothing is repeated.
//!
//! So a receiver may see an event twice, with the same `event.id`. More than [`KEPT_BYTES`] that a
//! dying receiver's kernel had taken and its program had not read stays lost, and so does whatever
//! UDP loses. RELP, or a receiver on the same machine with a queue on its disk, closes the gap.
//!
//! Of several addresses one is used until it fails, then the next; every [`BACK_AFTER`] the first
//! one is tried again.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use jiff::tz::TimeZone;
use tokio::net::{UdpSocket, UnixDatagram, lookup_host};
use tokio::time::timeout;

use super::address::{Address, Target, Transport};
use super::chunks;
use super::config::{SinkCommon, SyslogConfig};
use super::connection::{CONNECT_LIMIT, Connection, WRITE_LIMIT, network};
use super::header::{Header, HeaderForm, HeaderSettings};
use super::message::MessageWriter;
use super::preset::Shape;
use super::relp::Relp;
use super::tls::TlsClient;
use super::{Chosen, Milestone, Rendered, SinkContext, SinkError};
use crate::engine::detect::Alert;
use crate::engine::render::{Encoder, Encoding};
use crate::store::DeadLetter;
use crate::units::{Period, Timestamp};

/// Longest datagram: receivers should take 2048 bytes (RFC 5426, section 3.2).
const UDP_MESSAGE_BYTES_MAX: u64 = 2048;

/// Longest datagram that IPv4 can carry.
const DATAGRAM_BYTES_MAX: u64 = 65_507;

/// What is kept to be sent again. More than the kernel holds, which doubles what it is asked for.
const KEPT_BYTES: usize = 1 << 20;

/// After an orderly close, what was written this recently may have crossed it on the way.
const CROSSING: Period = Period::from_secs(30);

/// The first address is tried again when another one was used for so long.
const BACK_AFTER: Period = Period::from_secs(300);

/// A sink that sends syslog messages.
#[derive(Debug)]
pub struct SyslogSink {
    addresses: Vec<Address>,
    /// Which of them is used.
    current: usize,
    /// When the first one was given up, or tried again without success.
    away_since: Timestamp,
    tls: TlsClient,
    messages: MessageWriter,
    link: Link,
    /// Messages of GELF that are too long for a datagram travel in several.
    chunked: bool,
    /// Something of the present turn was sent over the present connection.
    within_turn: bool,
    /// Where the present turn began.
    turn: Milestone,
    sent_at: Timestamp,
    kept: Kept,
}

#[derive(Debug)]
enum Link {
    Down,
    Stream(Connection),
    Relp(Relp),
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl SyslogSink {
    /// A sink as `config` describes it; connects when there is something to send.
    pub fn new(config: &SyslogConfig, common: &SinkCommon, context: &SinkContext) -> Self {
        let transport = config.address.transport();
        let shape = Shape::of(config);
        let bare_gelf = shape.encoding == Encoding::Gelf && shape.header == HeaderForm::None;
        let chunked = transport == Transport::Udp && bare_gelf;
        let ceiling = match transport {
            Transport::Udp if chunked => chunks::MESSAGE_BYTES_MAX as u64,
            Transport::Udp if config.max_message.is_none() => UDP_MESSAGE_BYTES_MAX,
            Transport::Udp | Transport::UnixDatagram => DATAGRAM_BYTES_MAX,
            _ => u64::MAX,
        };
        let header = Header::new(&HeaderSettings {
            form: shape.header,
            facility: shape.facility,
            auth_facility: config.auth_facility,
            app_name: &config.app_name,
            pid: context.pid,
            version: &context.agent.version,
            data: config.sd,
            sd_id: config.sd_id.as_deref(),
            bom: config.bom,
            zone: TimeZone::system(),
            ipv6_host: shape.ipv6_host,
            tagged: matches!(shape.encoding, Encoding::Cef | Encoding::Leef),
        });
        let encoder = Encoder::new(shape.encoding, &context.agent, common.keep_original)
            .showing_secrets(common.show_secrets);
        let max = shape.max_message.min(ceiling) as usize;
        let name = config.address.first().to_string();
        Self {
            addresses: config.address.all().to_vec(),
            current: 0,
            away_since: Timestamp(0),
            tls: TlsClient::new(&config.tls, common.name.as_deref().unwrap_or(&name)),
            messages: MessageWriter::new(encoder, header, max, shape.mark(transport)),
            link: Link::Down,
            chunked,
            within_turn: false,
            turn: Milestone::default(),
            sent_at: Timestamp(0),
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

    /// What is sent from now on lies behind `from`.
    pub(super) fn note_turn(&mut self, from: Milestone) {
        self.turn = from;
    }

    /// Sends whole messages. After an error the turn has to begin anew.
    pub(super) async fn send(
        &mut self,
        rendered: &Rendered,
        now: Timestamp,
    ) -> Result<(), SinkError> {
        self.sent_at = now;
        let sent = self.try_send(rendered, now).await;
        if sent.is_err() {
            self.give_up(now);
        }
        sent
    }

    /// Waits until all of the turn is as safe as the transport can tell. The answer is the place
    /// behind which the receiver may not have read everything, and what it refused for good.
    pub(super) async fn finish(
        &mut self,
    ) -> Result<(Option<Milestone>, Vec<DeadLetter>), SinkError> {
        let finished = match &mut self.link {
            Link::Stream(connection) => connection.acknowledged().await.map(|()| Vec::new()),
            Link::Relp(session) => session.finish().await,
            Link::Down | Link::Udp(_) | Link::Unix(_) => Ok(Vec::new()),
        };
        if finished.is_err() {
            self.give_up(self.sent_at);
        }
        finished.map(|rejections| (self.kept.since(), rejections))
    }

    /// Ends the connection; true when the receiver has read everything.
    pub(super) async fn part(&mut self) -> bool {
        let has_read = match &mut self.link {
            Link::Stream(connection) => connection.part().await,
            _ => false,
        };
        self.link = Link::Down;
        has_read
    }

    async fn try_send(&mut self, rendered: &Rendered, now: Timestamp) -> Result<(), SinkError> {
        self.drop_closed(now).await?;
        self.go_back(now).await?;
        if matches!(self.link, Link::Down) {
            self.connect(now).await?;
        }
        self.within_turn = true;
        let address = &self.addresses[self.current];
        match &mut self.link {
            Link::Stream(connection) => {
                connection.write(&rendered.bytes).await?;
                self.kept.push(&rendered.bytes, now, self.turn);
            }
            Link::Relp(session) => session.send(rendered).await?,
            Link::Udp(socket) => {
                for message in rendered.messages() {
                    match chunks::chunks(message).filter(|_| self.chunked) {
                        None => {
                            in_time(address, socket.send(message)).await?;
                        }
                        Some(chunks) => {
                            for chunk in chunks {
                                in_time(address, socket.send(&chunk)).await?;
                            }
                        }
                    }
                }
            }
            Link::Unix(socket) => {
                for message in rendered.messages() {
                    in_time(address, socket.send(message)).await?;
                }
            }
            Link::Down => unreachable!("connect() returns an error or a link"),
        }
        Ok(())
    }

    /// Gives up a connection that the receiver has closed. Within a turn that is an error: its
    /// first part may be lost.
    async fn drop_closed(&mut self, now: Timestamp) -> Result<(), SinkError> {
        let ended = match &mut self.link {
            Link::Stream(connection) => connection.ended().await,
            Link::Relp(session) => session.ended().await,
            Link::Down | Link::Udp(_) | Link::Unix(_) => return Ok(()),
        };
        match ended {
            Ok(false) => return Ok(()),
            Ok(true) if !self.within_turn => self.kept.forget_before(now.minus(CROSSING)),
            Ok(true) => {
                let address = self.addresses[self.current].to_string();
                return Err(SinkError::Closed { address });
            }
            Err(error) if self.within_turn => return Err(error),
            Err(_) => (),
        }
        self.link = Link::Down;
        Ok(())
    }

    /// After a while with another receiver the first one gets a chance, between two turns.
    async fn go_back(&mut self, now: Timestamp) -> Result<(), SinkError> {
        if self.current == 0 || self.within_turn || now.since(self.away_since) < BACK_AFTER {
            return Ok(());
        }
        self.away_since = now;
        if let Ok(link) = open(&self.addresses[0], &mut self.tls).await {
            tracing::info!(address = %self.addresses[0], "back to the first receiver");
            if self.part().await {
                self.kept = Kept::default();
            }
            self.link = link;
            self.current = 0;
            self.repeat().await?;
        }
        Ok(())
    }

    /// Connects to the present receiver, or to the next one that can be had.
    async fn connect(&mut self, now: Timestamp) -> Result<(), SinkError> {
        let mut left = self.addresses.len();
        self.link = loop {
            left -= 1;
            match open(&self.addresses[self.current], &mut self.tls).await {
                Ok(link) => break link,
                Err(error) if left == 0 => return Err(error),
                Err(error) => {
                    tracing::warn!("trying the next receiver: {}", error.words());
                    self.pass_on(now);
                }
            }
        };
        self.repeat().await
    }

    /// Begins a connection with what an older one may not have brought to its end.
    async fn repeat(&mut self) -> Result<(), SinkError> {
        if let Link::Stream(connection) = &mut self.link {
            for bytes in self.kept.blocks() {
                connection.write(bytes).await?;
            }
        }
        Ok(())
    }

    /// Whatever happened to the connection, the next attempt begins with a new one, and with the
    /// next receiver: one that takes connections and nothing else would hold us for ever.
    fn give_up(&mut self, now: Timestamp) {
        self.link = Link::Down;
        self.pass_on(now);
    }

    fn pass_on(&mut self, now: Timestamp) {
        if self.current == 0 {
            self.away_since = now;
        }
        self.current = (self.current + 1) % self.addresses.len();
    }
}

async fn open(address: &Address, tls: &mut TlsClient) -> Result<Link, SinkError> {
    let failed = |source| network("connect to", &address.to_string(), source);
    match (address.transport, &address.target) {
        (transport, _) if transport.is_relp() => Relp::open(address, tls).await.map(Link::Relp),
        (Transport::Udp, Target::Machine { host, port }) => {
            let opened = timeout(CONNECT_LIMIT.duration(), open_udp(host, *port)).await;
            let opened = opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            opened.map(Link::Udp).map_err(failed)
        }
        (Transport::UnixDatagram, Target::Socket(path)) => {
            let opened = UnixDatagram::unbound().and_then(|socket| {
                socket.connect(path)?;
                Ok(socket)
            });
            opened.map(Link::Unix).map_err(failed)
        }
        _ => Connection::open(address, tls).await.map(Link::Stream),
    }
}

async fn in_time(
    address: &Address,
    send: impl Future<Output = io::Result<usize>>,
) -> Result<(), SinkError> {
    match timeout(WRITE_LIMIT.duration(), send).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(source)) => Err(network("send to", &address.to_string(), source)),
        Err(_) => Err(SinkError::Timeout {
            address: address.to_string(),
            action: "take messages",
            limit: WRITE_LIMIT,
        }),
    }
}

/// Tries each address of the receiver's name in turn.
async fn open_udp(host: &str, port: u16) -> io::Result<UdpSocket> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for target in lookup_host((host, port)).await? {
        let any: SocketAddr = match target {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        match socket.connect(target).await {
            Ok(()) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// What was written last, in whole messages.
#[derive(Debug, Default)]
struct Kept {
    blocks: VecDeque<Block>,
    bytes: usize,
}

#[derive(Debug)]
struct Block {
    written: Timestamp,
    /// Where its turn began.
    turn: Milestone,
    bytes: Vec<u8>,
}

impl Kept {
    fn push(&mut self, bytes: &[u8], written: Timestamp, turn: Milestone) {
        let mut reused = Vec::new();
        while let Some(oldest) = self.blocks.front()
            && KEPT_BYTES <= self.bytes - oldest.bytes.len()
        {
            self.bytes -= oldest.bytes.len();
            reused = self.blocks.pop_front().map(|block| block.bytes).unwrap_or_default();
        }
        reused.clear();
        reused.extend_from_slice(bytes);
        self.bytes += reused.len();
        self.blocks.push_back(Block { written, turn, bytes: reused });
    }

    fn forget_before(&mut self, time: Timestamp) {
        self.blocks.retain(|block| time <= block.written);
        self.bytes = self.blocks.iter().map(|block| block.bytes.len()).sum();
    }

    /// Where the turn of the oldest began.
    fn since(&self) -> Option<Milestone> {
        self.blocks.front().map(|block| block.turn)
    }

    fn blocks(&self) -> impl Iterator<Item = &[u8]> {
        self.blocks.iter().map(|block| block.bytes.as_slice())
    }
}
