//! What can be wrong before the first client is there.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a listener cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {next}")]
    Bind {
        /// The address of the configuration.
        address: SocketAddr,
        /// What is wrong and what to do.
        next: String,
    },
    /// A PEM file cannot be read.
    #[error("cannot read {what} {}: {why}: give a PEM file that the gateway may read", path.display())]
    Pem {
        /// `tls.certificate` or `tls.key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// Certificate and key do not make a server.
    #[error("cannot use the certificate {} with the key {}: {why}: make them a pair", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls says.
        why: rustls::Error,
    },
}

impl Error {
    pub(crate) fn bind(address: SocketAddr, error: &io::Error) -> Self {
        let next = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another program has this port: set `bind` to a free one or end that program".to_owned()
            }
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need CAP_NET_BIND_SERVICE: set `bind` to a higher one".to_owned()
            }
            io::ErrorKind::AddrNotAvailable => {
                "this machine does not have that address: set `bind` to one that it has, or to 0.0.0.0"
                    .to_owned()
            }
            _ => format!("{error}: set `bind` to another address"),
        };
        Self::Bind { address, next }
    }
}
