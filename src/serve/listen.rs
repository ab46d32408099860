//! Takes the address of the HTTP listener, early and with a clear word when it cannot.
//!
//! The listener is bound before the daemon starts its work, so that a taken port ends `run` at
//! once and is not found later in a log.

use std::io;
use std::net::{SocketAddr, TcpListener};

use thiserror::Error;

use crate::units::socket_address;

/// Why there is no listener.
///
/// Messages complete "failed to serve metrics: {error}".
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The setting is no address: correct the configuration.
    #[error("`{address}` is not an address with a port; write one such as `127.0.0.1:9477`")]
    BadAddress {
        /// As configured.
        address: String,
    },

    /// The address can be reached from other machines: correct the configuration.
    #[error(
        "will not listen on {address}: the pages name client addresses, and TLS and tokens are \
         not supported yet; listen on 127.0.0.1 and reach it through an SSH tunnel or a reverse \
         proxy that checks who asks"
    )]
    NotLoopback {
        /// As configured.
        address: String,
    },

    /// Another program has the port: stop it or choose another port.
    #[error(
        "{address} is in use, probably by another gatewatch; find its owner with `ss -ltnp`, \
         stop it, or set another `serve.listen`"
    )]
    InUse {
        /// As configured.
        address: String,
    },

    /// The operating system refused: the daemon cannot serve.
    #[error("cannot {action} {address}")]
    Io {
        /// The attempted action, as an infinitive.
        action: &'static str,
        /// As configured, or as bound.
        address: String,
        /// The reason the operating system gave.
        source: io::Error,
    },
}

/// Takes `address`, which must be a loopback one.
pub fn bind(address: &str) -> Result<TcpListener, ServeError> {
    let socket = resolve(address)?;
    TcpListener::bind(socket).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::InUse { address: address.to_owned() },
        _ => ServeError::Io { action: "listen on", address: address.to_owned(), source },
    })
}

/// The loopback address that `address` means.
pub(super) fn resolve(address: &str) -> Result<SocketAddr, ServeError> {
    let socket = socket_address(address)
        .ok_or_else(|| ServeError::BadAddress { address: address.to_owned() })?;
    if !socket.ip().to_canonical().is_loopback() {
        return Err(ServeError::NotLoopback { address: address.to_owned() });
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(address: &str, expected: &str) {
        let message = bind(address).expect_err("the address must be refused").to_string();
        assert!(message.contains(address) && message.contains(expected), "{message}");
    }

    #[test]
    fn addresses_that_others_can_reach_are_refused_with_the_reason() {
        for address in ["0.0.0.0:9477", "192.0.2.1:9477", "[::]:9477", "[2001:db8::1]:80"] {
            check_refused(address, "TLS and tokens are not supported yet");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for address in ["", "9477", "127.0.0.1", "www.example.org:80", "localhost:x"] {
            check_refused(address, "such as `127.0.0.1:9477`");
        }
    }

    #[test]
    fn a_port_in_use_says_how_to_find_its_owner() {
        let first = bind("127.0.0.1:0").expect("a free port");
        let address = first.local_addr().expect("it is bound").to_string();
        check_refused(&address, "`ss -ltnp`");
    }

    #[test]
    fn localhost_is_the_one_name_that_is_known() {
        assert!(bind("localhost:0").is_ok());
    }
}
