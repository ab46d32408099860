//! Datagrams: one is one message, whatever is in it.
//!
//! Nobody hears of a datagram that is lost, so the socket is emptied as fast as there is room, and
//! what the kernel drops for want of room is counted.

use std::io;
use std::net::IpAddr;

use tokio::net::{UdpSocket, UnixDatagram};
use tokio::time::{MissedTickBehavior, interval};

use super::Desk;
use super::bind::{dropped_datagrams, inode_of};
use super::framing::Lines;
use super::inbox::{Closed, Sender};
use crate::units::Period;

/// The largest datagram of a socket of this machine that is taken whole; UDP has none as large.
const DATAGRAM_BYTES_MAX: usize = 256 << 10;

/// Datagrams taken before they are handed on, if so many are there, and their bytes.
const BURST: usize = 256;
const BURST_BYTES: usize = 256 << 10;

/// How often the kernel is asked what it dropped.
const ASK_EVERY: Period = Period::from_secs(1);

/// A socket for datagrams.
#[derive(Debug)]
pub(super) enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Socket {
    async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.readable().await,
            Self::Unix(socket) => socket.readable().await,
        }
    }

    /// A datagram that is there.
    fn try_recv(&self, buffer: &mut [u8]) -> io::Result<(usize, Sender)> {
        match self {
            Self::Udp(socket) => {
                let (length, peer) = socket.try_recv_from(buffer)?;
                let address: IpAddr = peer.ip().to_canonical();
                Ok((length, Sender::Address(address)))
            }
            Self::Unix(socket) => Ok((socket.try_recv(buffer)?, Sender::Unnamed)),
        }
    }
}

/// Takes datagrams until told to stop, and then those that are there already.
pub(super) async fn serve(socket: Socket, desk: &Desk) {
    let inode = match &socket {
        Socket::Udp(socket) => inode_of(socket),
        // Whoever writes to a socket of this machine waits, or is told.
        Socket::Unix(_) => None,
    };
    // Drops are counted while datagrams wait for room: that is when they happen.
    tokio::select! {
        () = take_all(&socket, desk) => (),
        () = watch_drops(inode, desk) => (),
    }
    tell_dropped(inode, desk);
}

async fn take_all(socket: &Socket, desk: &Desk) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let readable = tokio::select! {
            biased;
            () = desk.stopped() => break,
            readable = socket.readable() => readable,
        };
        if let Err(error) = readable {
            tracing::warn!(%error, "{}: datagrams cannot be read", desk.name);
        }
        if take_burst(socket, &mut buffer, desk).await.is_err() {
            return;
        }
    }
    while let Ok(true) = take_burst(socket, &mut buffer, desk).await {}
}

/// Asks the kernel now and then, without an end.
async fn watch_drops(inode: Option<u64>, desk: &Desk) {
    let mut clock = interval(ASK_EVERY.duration());
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        tell_dropped(inode, desk);
    }
}

/// Takes the datagrams that are there; true when there may be more.
async fn take_burst(socket: &Socket, buffer: &mut [u8], desk: &Desk) -> Result<bool, Closed> {
    let mut lines = Lines::default();
    let mut last = Sender::Unnamed;
    for _ in 0..BURST {
        let (length, sender) = match socket.try_recv(buffer) {
            Ok(received) => received,
            Err(error) => {
                // An error of an earlier answer may be told here; the next datagram is not worse.
                let none = error.kind() == io::ErrorKind::WouldBlock;
                desk.put(last, &mut lines).await?;
                return Ok(!none);
            }
        };
        if sender != last {
            desk.put(last, &mut lines).await?;
            last = sender;
        }
        // A datagram that fills the buffer may have been longer.
        lines.push(&buffer[..length], desk.line_bytes_max, length == buffer.len());
        if BURST_BYTES <= lines.bytes.len() {
            break;
        }
    }
    desk.put(last, &mut lines).await?;
    Ok(true)
}

fn tell_dropped(inode: Option<u64>, desk: &Desk) {
    let Some(total) = inode.and_then(dropped_datagrams) else { return };
    let fresh = desk.status.set_dropped(total);
    if 0 < fresh {
        tracing::warn!(
            "{}: {fresh} datagrams were dropped, for they came faster than they were taken; raise \
             net.core.rmem_max with sysctl, or send over TCP",
            desk.name
        );
    }
}
