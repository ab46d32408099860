//! Takes the address of a listener, and says what to do where it cannot.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;

use rustix::net::sockopt;
use tokio::net::TcpSocket;

use super::endpoint::{Endpoint, Place, Transport};

/// What the kernel is asked to hold of datagrams that nobody has taken yet.
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;

/// What the kernel holds of a connection's bytes. Plain TCP tells nobody what a program has read: all of
/// this is lost if we are killed, so there is little of it.
const STREAM_BUFFER_BYTES: u32 = 128 << 10;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 256;

/// Like `/dev/log`: any program of this machine may write; the folder says who gets there.
const SOCKET_MODE: u32 = 0o666;

/// A socket that was bound.
#[derive(Debug)]
pub(super) enum Bound {
    Udp(tokio::net::UdpSocket),
    Unix(tokio::net::UnixDatagram),
    Tcp(tokio::net::TcpListener),
    UnixStream(tokio::net::UnixListener),
}

/// Why an address cannot be taken, with the fix.
#[derive(Debug)]
pub(super) struct BindError {
    address: String,
    reason: io::Error,
    fix: &'static str,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}; {}", self.address, self.reason, self.fix)
    }
}

impl BindError {
    fn new(endpoint: &Endpoint, reason: io::Error) -> Self {
        let fix = match (&endpoint.place, reason.kind()) {
            (_, io::ErrorKind::AddrInUse) => {
                "find who has it with `ss -lnput` or `ss -lnpx`, stop that, or choose another address"
            }
            (Place::Socket(_), io::ErrorKind::PermissionDenied) => {
                "choose a port from 1024 on, or give the service CAP_NET_BIND_SERVICE"
            }
            (Place::Socket(_), io::ErrorKind::AddrNotAvailable) => {
                "this machine has no such address; see `ip address`"
            }
            (Place::File(_), io::ErrorKind::NotFound) => {
                "make its folder: `RuntimeDirectory=gatewatch` in the service unit makes /run/gatewatch"
            }
            (Place::File(_), io::ErrorKind::PermissionDenied) => {
                "let the user that runs gatewatch write to its folder"
            }
            (Place::File(_), io::ErrorKind::AlreadyExists) => {
                "another file has this name; remove it or choose another name"
            }
            _ => "it is tried again",
        };
        Self { address: endpoint.text.clone(), reason, fix }
    }
}

/// Takes the address of `endpoint`.
pub(super) fn bind(endpoint: &Endpoint) -> Result<Bound, BindError> {
    let bound = match (&endpoint.place, endpoint.transport) {
        (Place::Socket(socket), Transport::Udp) => udp(*socket),
        (Place::Socket(socket), _) => tcp(*socket),
        (Place::File(path), Transport::Unix) => unix(path),
        (Place::File(path), _) => unix_stream(path),
    };
    bound.map_err(|reason| BindError::new(endpoint, reason))
}

fn udp(address: SocketAddr) -> io::Result<Bound> {
    let socket = UdpSocket::bind(address)?;
    enlarge(&socket);
    socket.set_nonblocking(true)?;
    tokio::net::UdpSocket::from_std(socket).map(Bound::Udp)
}

/// Asks for a large buffer. Only a privileged process gets more than `net.core.rmem_max`.
fn enlarge(socket: &impl AsFd) {
    let forced = sockopt::set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER_BYTES);
    if forced.is_err()
        && let Err(error) = sockopt::set_socket_recv_buffer_size(socket, RECEIVE_BUFFER_BYTES)
    {
        tracing::debug!(%error, "the receive buffer keeps its size");
    }
    let bytes = sockopt::socket_recv_buffer_size(socket).unwrap_or_default();
    tracing::debug!(bytes, "receive buffer of datagrams");
}

fn tcp(address: SocketAddr) -> io::Result<Bound> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_recv_buffer_size(STREAM_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG).map(Bound::Tcp)
}

fn unix(path: &Path) -> io::Result<Bound> {
    remove_stale(path, |path| UnixDatagram::unbound()?.connect(path))?;
    let socket = UnixDatagram::bind(path)?;
    open_to_all(path)?;
    enlarge(&socket);
    socket.set_nonblocking(true)?;
    tokio::net::UnixDatagram::from_std(socket).map(Bound::Unix)
}

fn unix_stream(path: &Path) -> io::Result<Bound> {
    remove_stale(path, |path| std::os::unix::net::UnixStream::connect(path).map(drop))?;
    let listener = UnixListener::bind(path)?;
    open_to_all(path)?;
    listener.set_nonblocking(true)?;
    tokio::net::UnixListener::from_std(listener).map(Bound::UnixStream)
}

fn open_to_all(path: &Path) -> io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))
}

/// Removes a socket that a killed process left behind; never one that somebody listens on, and never
/// another kind of file.
fn remove_stale(path: &Path, connect: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(_) => (),
    }
    match connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// Removes the file of a socket that is no longer listened on.
pub(super) fn remove(endpoint: &Endpoint) {
    if let Place::File(path) = &endpoint.place {
        // It may be gone already.
        let _ = std::fs::remove_file(path);
    }
}

/// Datagrams that the kernel has dropped at the socket with this inode, by the tables of this
/// process's network.
pub(super) fn dropped_datagrams(inode: u64) -> Option<u64> {
    let tables = ["/proc/self/net/udp", "/proc/self/net/udp6"];
    tables.iter().find_map(|table| dropped_in(&std::fs::read_to_string(table).ok()?, inode))
}

/// The inode of a socket, which names it in the tables of the kernel.
pub(super) fn inode_of(socket: &impl AsFd) -> Option<u64> {
    rustix::fs::fstat(socket).ok().map(|stat| stat.st_ino)
}

/// The last column of the row with this inode, which is the tenth.
fn dropped_in(table: &str, inode: u64) -> Option<u64> {
    let inode = inode.to_string();
    let row = table.lines().find(|row| row.split_whitespace().nth(9) == Some(inode.as_str()))?;
    row.split_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::config::SourceConfig;

    fn try_bind(address: &str) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let _guard = runtime.as_ref().expect("a runtime").enter();
        let endpoint = Endpoint::new(address, &SourceConfig::default()).expect("an address");
        bind(&endpoint).map(drop).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check_refused(address: &str, expected: &str) {
        let error = try_bind(address).expect_err("it cannot be bound");
        assert!(error.contains(address) && error.contains(expected), "{error}");
    }

    #[test]
    fn an_address_in_use_says_how_to_find_its_owner() {
        let first = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = first.local_addr().expect("it is bound").port();
        check_refused(&format!("tcp://127.0.0.1:{port}"), "`ss -lnput`");
    }

    #[test]
    fn a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log.sock");
        let address = format!("unix://{}", path.display());
        let stream = format!("unixstream://{}", path.display());
        drop(UnixDatagram::bind(&path).expect("bound"));
        assert_eq!(Ok(()), try_bind(&address), "its owner is gone");
        let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(SOCKET_MODE, mode & 0o777);
        assert_eq!(Ok(()), try_bind(&stream), "of another kind, and its owner is gone");
        let taken = folder.path().join("taken.sock");
        let _owner = UnixListener::bind(&taken).expect("bound");
        check_refused(&format!("unixstream://{}", taken.display()), "`ss -lnput`");
        std::fs::write(folder.path().join("file"), "mine").expect("written");
        let file = format!("unix://{}", folder.path().join("file").display());
        check_refused(&file, "another file has this name");
        let nowhere = format!("unix://{}", folder.path().join("no/log.sock").display());
        check_refused(&nowhere, "`RuntimeDirectory=gatewatch`");
    }

    #[test]
    fn the_kernel_tells_what_it_dropped() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let inode = inode_of(&socket).expect("a socket has an inode");
        assert_eq!(Some(0), dropped_datagrams(inode));
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   \
                     uid  timeout inode ref pointer drops\n  88: 0100007F:158A 00000000:0000 07 \
                     00000000:00000000 00:00000000 00000000     0        0 4711 2 000000007 23\n";
        assert_eq!(Some(23), dropped_in(table, 4711));
        assert_eq!(None, dropped_in(table, 471));
    }
}
