//! How much of what was written to a TCP connection its far machine has not acknowledged.
//!
//! The kernel knows (`write_seq - snd_una`). The call that asks for it, `SIOCOUTQ`, cannot be made
//! without `unsafe`, so it is asked in the two ways that are plain reading and writing: a question
//! about the one connection over netlink (`sock_diag(7)`), and where a sandbox or a kernel without
//! that module forbids it, the connection's row in `/proc/self/net/tcp`.
//!
//! An answer of 0 says that the receiver's *kernel* has everything. It does not say that the
//! receiver's program has read it.

use std::net::{IpAddr, SocketAddr};
use std::{fs, io};

use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// The two ends of a connection: ours and theirs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

/// Bytes of the connection that are not acknowledged. Nothing where the kernel does not tell.
pub(super) fn unacknowledged(ends: Ends) -> Option<u64> {
    match ask_kernel(ends) {
        Ok(bytes) => Some(bytes),
        Err(_) => read_table(ends),
    }
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2` of `linux/inet_diag.h`.
const HEADER_BYTES: usize = 16;
const REQUEST_BYTES: usize = HEADER_BYTES + 56;

/// Where `idiag_wqueue` stands in the answer, behind state, addresses and timers.
const QUEUE_AT: usize = HEADER_BYTES + 60;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const PROTOCOL_TCP: u8 = 6;

fn ask_kernel(ends: Ends) -> io::Result<u64> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let protocol = Some(net::netlink::SOCK_DIAG);
    let socket = net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
    // The kernel answers before `send` returns.
    net::send(&socket, &question(ends), SendFlags::empty())?;
    let mut answer = [0; 512];
    let (length, _) = net::recv(&socket, &mut answer, RecvFlags::empty())?;
    let answer = &answer[..length];
    let word = |at: usize| answer.get(at..at + 4).and_then(|four| four.try_into().ok());
    let kind = answer.get(4..6).and_then(|two| two.try_into().ok()).map(u16::from_ne_bytes);
    match (kind, word(QUEUE_AT)) {
        (Some(SOCK_DIAG_BY_FAMILY), Some(queue)) => Ok(u64::from(u32::from_ne_bytes(queue))),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn question(ends: Ends) -> [u8; REQUEST_BYTES] {
    let mut out = [0; REQUEST_BYTES];
    let family =
        if ends.local.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }.as_raw();
    out[..4].copy_from_slice(&(REQUEST_BYTES as u32).to_ne_bytes());
    out[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    out[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    let body = &mut out[HEADER_BYTES..];
    body[0] = family as u8;
    body[1] = PROTOCOL_TCP;
    // In any state; then ports and addresses in the order of the network.
    body[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
    body[8..10].copy_from_slice(&ends.local.port().to_be_bytes());
    body[10..12].copy_from_slice(&ends.remote.port().to_be_bytes());
    put_address(&mut body[12..28], ends.local.ip());
    put_address(&mut body[28..44], ends.remote.ip());
    // No interface, and no cookie: the ends are enough.
    if let SocketAddr::V6(remote) = ends.remote {
        body[44..48].copy_from_slice(&remote.scope_id().to_ne_bytes());
    }
    body[48..56].copy_from_slice(&[0xff; 8]);
    out
}

fn put_address(out: &mut [u8], address: IpAddr) {
    match address {
        IpAddr::V4(v4) => out[..4].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => out.copy_from_slice(&v6.octets()),
    }
}

/// The connection's row: `sl local_address rem_address st tx_queue:rx_queue …`.
fn read_table(ends: Ends) -> Option<u64> {
    let name = if ends.local.is_ipv4() { "tcp" } else { "tcp6" };
    let table = fs::read_to_string(format!("/proc/self/net/{name}")).ok()?;
    let (local, remote) = (in_table(ends.local), in_table(ends.remote));
    table.lines().find_map(|row| {
        let mut words = row.split_ascii_whitespace().skip(1);
        if words.next()? != local || words.next()? != remote {
            return None;
        }
        u64::from_str_radix(words.nth(1)?.split(':').next()?, 16).ok()
    })
}

/// An address as the kernel prints it: words of the machine's byte order, then the port.
fn in_table(address: SocketAddr) -> String {
    let word = |four: &[u8]| {
        let four = four.try_into().unwrap_or_default();
        format!("{:08X}", u32::from_ne_bytes(four))
    };
    let words: String = match address.ip() {
        IpAddr::V4(v4) => word(&v4.octets()),
        IpAddr::V6(v6) => v6.octets().chunks(4).map(word).collect(),
    };
    format!("{words}:{:04X}", address.port())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Goal: both ways tell the same number, and 0 as soon as the far kernel has everything.
    ///
    /// Method: a receiver reads nothing until its kernel takes no more; then it reads it all.
    #[test]
    fn what_the_far_machine_has_not_taken_is_told_in_both_ways() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(host).expect("a loopback address");
            let mut sender = TcpStream::connect(listener.local_addr().expect("an address"))
                .expect("a connection");
            let (mut receiver, _) = listener.accept().expect("a connection");
            let ends = Ends {
                local: sender.local_addr().expect("an address"),
                remote: sender.peer_addr().expect("an address"),
            };
            assert_eq!((Some(0), Some(0)), (ask_kernel(ends).ok(), read_table(ends)));
            sender.set_nonblocking(true).expect("it is a socket");
            let mut written = 0;
            while let Ok(bytes) = sender.write(&[0; 65_536]) {
                written += bytes;
            }
            // The kernel of a busy machine may still be handing over what was written.
            let asked = loop {
                let (asked, read) = (ask_kernel(ends).ok(), read_table(ends));
                if asked == read && asked == ask_kernel(ends).ok() {
                    break asked;
                }
                std::thread::yield_now();
            };
            assert!(asked.is_some_and(|bytes| 0 < bytes && bytes < written as u64), "{asked:?}");
            receiver.read_exact(&mut vec![0; written]).expect("all of it");
            // A late acknowledgement is on its way for 40 ms at most.
            while unacknowledged(ends) != Some(0) {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn a_connection_that_is_none_has_no_answer() {
        let end = |text: &str| text.parse().expect("an address");
        let ends = Ends { local: end("192.0.2.1:1"), remote: end("192.0.2.2:2") };
        assert_eq!(None, unacknowledged(ends));
    }
}
