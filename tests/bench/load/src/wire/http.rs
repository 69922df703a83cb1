//! The head of an HTTP/1.1 answer.

use crate::stamp::find;

/// The longest head that is accepted.
pub const HEAD_LIMIT: usize = 65_536;

/// Status line and headers of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head(String);

impl Head {
    /// The head at the beginning of `bytes` and where what follows it begins; `None` while it is incomplete.
    ///
    /// # Errors
    /// When no end is in sight.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, String> {
        match find(bytes, b"\r\n\r\n") {
            Some(end) => Ok(Some((Head(String::from_utf8_lossy(&bytes[..end]).into_owned()), end + 4))),
            None if bytes.len() > HEAD_LIMIT => Err("the head of the answer is too long".into()),
            None => Ok(None),
        }
    }

    /// Checks the status.
    ///
    /// # Errors
    /// The status line, when the status is not in the hundred that `status` is in.
    pub fn expect(&self, status: u16) -> Result<(), String> {
        let line = self.0.lines().next().unwrap_or_default();
        let found = line.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
        if found.is_some_and(|found| found / 100 == status / 100) {
            Ok(())
        } else {
            Err(format!("no {status}: {line}"))
        }
    }

    /// How long the body is, where the answer says so.
    pub fn content_length(&self) -> Option<usize> {
        content_length(&self.0)
    }

    /// Whether the body is chunked.
    pub fn is_chunked(&self) -> bool {
        header(&self.0, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }

    /// Whether the server closes the connection after the answer.
    pub fn closes(&self) -> bool {
        header(&self.0, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// The value of `Content-Length` among some header lines.
pub fn content_length(head: &str) -> Option<usize> {
    header(head, "content-length")?.parse().ok()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read() -> Result<(), String> {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-length:  12\r\nConnection: Close\r\n\r\nbody";
        let (head, body) = Head::parse(bytes)?.ok_or("incomplete")?;
        assert_eq!(&bytes[body..], b"body");
        assert_eq!((head.content_length(), head.is_chunked(), head.closes()), (Some(12), false, true));
        assert_eq!(head.expect(200), Ok(()));
        assert_eq!(head.expect(101), Err("no 101: HTTP/1.1 200 OK".into()));
        assert_eq!(Head::parse(b"HTTP/1.1 200 OK\r\n"), Ok(None));
        assert!(Head::parse(&[b'x'; HEAD_LIMIT + 1]).is_err());
        Ok(())
    }
}
