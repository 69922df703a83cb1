//! Where the upstream is.

use hyper::Uri;
use std::fmt;

/// The upstream's address, read from `url`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) is_tls: bool,
    /// A name or an IP address, this one without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What stands before the protocol's own paths: nothing, or `/PREFIX` of a proxy.
    base: String,
}

impl Address {
    /// Reads `url`; the error is what is wrong with it.
    pub(crate) fn read(url: &str) -> Result<Self, String> {
        let example = "such as `http://upstream.example:8765`";
        if url.is_empty() {
            return Err(format!("is missing: set the upstream's address, {example}"));
        }
        let uri: Uri = url.parse().map_err(|_| format!("is no address: write one {example}"))?;
        let is_tls = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(format!("must begin with http:// or https://, {example}")),
        };
        let authority = uri.authority().ok_or_else(|| format!("names no host: write one {example}"))?;
        if authority.as_str().contains('@') {
            return Err("has a user or password in it: use `api_key`".to_owned());
        }
        if uri.query().is_some() {
            return Err("has a query: leave out what begins with `?`".to_owned());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(format!("names no host: write one {example}"));
        }
        let port = match authority.as_str().rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => port
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| "has no good port: set one from 1 to 65535".to_owned())?,
            _ if is_tls => 443,
            _ => 80,
        };
        Ok(Self { is_tls, host, port, base: uri.path().trim_end_matches('/').to_owned() })
    }

    /// `HOST:PORT`, for a `Host` header.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// A path of the protocol.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Where Socket.IO is.
    pub(crate) fn websocket(&self) -> String {
        let scheme = if self.is_tls { "wss" } else { "ws" };
        let path = self.path("/socket.io/?EIO=4&transport=websocket");
        format!("{scheme}://{}{path}", self.authority())
    }

    /// Whether it is this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let ip = self.host.parse::<std::net::IpAddr>().ok();
        ip.map_or(self.host == "localhost", |ip| ip.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    fn read(url: &str) -> Address {
        Address::read(url).expect(url)
    }

    #[test]
    fn the_address_of_the_document_is_read() {
        let address = read("http://192.0.2.1:8765");
        assert_eq!(address.websocket(), "ws://192.0.2.1:8765/socket.io/?EIO=4&transport=websocket");
        assert_eq!((address.to_string().as_str(), address.is_tls), ("192.0.2.1:8765", false));
        assert_eq!(address.path("/api/test"), "/api/test");
    }

    #[test]
    fn names_ports_prefixes_and_version_6_are_read() {
        let address = read("https://lpr.example/in/");
        assert_eq!(address.websocket(), "wss://lpr.example:443/in/socket.io/?EIO=4&transport=websocket");
        assert_eq!(address.path("/api/test"), "/in/api/test");
        assert_eq!(read("http://a").port, 80);
        let address = read("http://[::1]:8765/");
        assert_eq!((address.host.as_str(), address.authority().as_str()), ("::1", "[::1]:8765"));
        assert_eq!(read("http://[::1]").port, 80);
        assert!(
            address.is_loopback()
                && read("http://localhost").is_loopback()
                && !read("http://a").is_loopback()
        );
    }

    #[test]
    fn what_is_no_address_is_said_so() {
        for (url, word) in [
            ("", "missing"),
            ("upstream:8765", "http://"),
            ("/x", "http://"),
            ("ftp://a", "http://"),
            ("http://", "address"),
            ("http://user:secret@a", "api_key"),
            ("http://a?key=1", "query"),
            ("http://a:99999", "port"),
            ("http://a:0", "port"),
            ("http://a b", "address"),
        ] {
            let error = Address::read(url).expect_err(url);
            assert!(error.contains(word), "{url}: {error}");
            assert!(!error.contains("secret"));
        }
    }
}
