//! Connections to the upstream: TCP, and TLS over it, of which is known when the network last took something.

use crate::address::Address;
use crate::config::{Config, Secret};
use gantry_plugin::Error;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What the kernel may have of what is written: a large message counts as sent only when nearly all of it is.
const SEND_BUFFER: u32 = 256 << 10;

/// How the upstream is reached.
pub(crate) struct Dialer {
    pub(crate) address: Address,
    pub(crate) api_key: Option<Secret>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    pub(crate) connect_timeout: Duration,
    pub(crate) answer_timeout: Duration,
}

impl Dialer {
    /// Reads the certificates that vouch for the upstream.
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let address = Address::read(&config.url).map_err(|why| Error::new(format!("url: {why}")))?;
        let tls = if address.is_tls {
            let name = ServerName::try_from(address.host.clone())
                .map_err(|_| Error::new("url: no certificate can name this host: use its name"))?;
            Some((TlsConnector::from(client_config(config)?), name))
        } else {
            None
        };
        Ok(Self {
            address,
            api_key: config.api_key.clone(),
            tls,
            connect_timeout: config.connect_timeout(),
            answer_timeout: config.answer_timeout(),
        })
    }

    /// What somebody wrote, without what nobody is to see.
    pub(crate) fn clean(&self, text: &str) -> String {
        self.api_key.as_ref().map_or_else(|| text.to_owned(), |key| key.keep_out_of(text))
    }

    /// Connects; the caller says how long that may take.
    pub(crate) async fn connect(&self) -> io::Result<Stream> {
        let addresses = lookup_host((self.address.host.as_str(), self.address.port)).await?.collect();
        let tcp = first_of(addresses, self.connect_timeout).await?;
        tcp.set_nodelay(true)?;
        let wire = match &self.tls {
            None => Wire::Plain(tcp),
            Some((connector, name)) => Wire::Tls(Box::new(connector.connect(name.clone(), tcp).await?)),
        };
        Ok(Stream { wire, flow: Flow::new() })
    }
}

/// Connects to the first of these that there is a way to, each with its share of the time.
async fn first_of(addresses: Vec<SocketAddr>, patience: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    let share = patience / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    for address in addresses {
        let slow = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no connection to {address} in time"));
        match timeout(share, connect_to(address)).await.map_err(slow).flatten() {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.connect(address).await
}

fn client_config(config: &Config) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &config.tls.ca_file {
        let wrong = |why: String| Error::new(format!("tls.ca_file: {}: {why}", path.display()));
        let all = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| wrong(format!("{error}: name a PEM file with certificates")))?;
        for certificate in all {
            roots.add(certificate).map_err(|error| wrong(format!("{error}: use another certificate")))?;
        }
        if roots.is_empty() {
            return Err(wrong("there is no certificate in it: name a PEM file with certificates".to_owned()));
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(Error::new(
                "the system has no certificates to recognise the upstream by: install ca-certificates, or set tls.ca_file",
            ));
        }
    }
    // The provider is named, because a process that has two linked in cannot choose one by itself.
    let mut tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(tls))
}

/// When the network last took something of a connection.
#[derive(Clone)]
pub(crate) struct Flow(Arc<(Instant, AtomicU64)>);

impl Flow {
    fn new() -> Self {
        Self(Arc::new((Instant::now(), AtomicU64::new(0))))
    }

    /// Counts from now on.
    pub(crate) fn begin(&self) {
        let (start, last) = &*self.0;
        last.store(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Returns when it has taken nothing for so long.
    pub(crate) async fn stalled(&self, patience: Duration) {
        let (start, last) = &*self.0;
        loop {
            let until = *start + Duration::from_millis(last.load(Relaxed)) + patience;
            if Instant::now() >= until {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection.
pub(crate) struct Stream {
    wire: Wire,
    flow: Flow,
}

impl Stream {
    pub(crate) fn flow(&self) -> Flow {
        self.flow.clone()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Wire::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let done = match &mut this.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Wire::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        if matches!(done, Poll::Ready(Ok(1..))) {
            this.flow.begin();
        }
        done
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::first_of;
    use std::time::Duration;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn an_address_that_leads_nowhere_is_not_the_last_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        // Nobody can connect to a port 0, with IPv6 or without it.
        let nowhere = ["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
        let found = first_of([&nowhere[..], &[here]].concat(), Duration::from_secs(20)).await;
        assert_eq!(found.unwrap().peer_addr().unwrap(), here);
        first_of(nowhere.to_vec(), Duration::from_secs(20)).await.unwrap_err();
        assert!(
            first_of(Vec::new(), Duration::from_secs(20))
                .await
                .unwrap_err()
                .to_string()
                .contains("no address")
        );
    }
}
