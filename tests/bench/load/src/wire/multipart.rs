//! The parts of a `multipart/x-mixed-replace` body, each with a `Content-Length`.

use super::http::content_length;
use crate::edge::Edge;

/// The longest header of a part.
const HEADER_LIMIT: usize = 8192;

/// Takes a stream of parts apart.
#[derive(Debug, Default)]
pub struct Parts {
    header: Vec<u8>,
    left: Option<usize>,
    part: Edge,
}

impl Parts {
    /// Takes bytes off `input`; whether a part became whole, which is then [`Parts::part`].
    ///
    /// # Errors
    /// When a part does not say how long it is.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<bool, String> {
        loop {
            let Some(left) = self.left else {
                if !self.take_header(input)? {
                    return Ok(false);
                }
                continue;
            };
            let (data, rest) = input.split_at(left.min(input.len()));
            *input = rest;
            self.part.push(data);
            self.left = Some(left - data.len());
            if data.len() < left {
                return Ok(false);
            }
            self.left = None;
            return Ok(true);
        }
    }

    /// The part that became whole last.
    pub fn part(&self) -> &Edge {
        &self.part
    }

    /// Whether a header became whole.
    fn take_header(&mut self, input: &mut &[u8]) -> Result<bool, String> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            self.header.push(byte);
            if self.header.ends_with(b"\r\n\r\n") {
                let header = std::mem::take(&mut self.header);
                self.left = Some(content_length(&String::from_utf8_lossy(&header)).ok_or(NO_LENGTH)?);
                self.part.clear();
                return Ok(true);
            }
            if self.header.len() > HEADER_LIMIT {
                return Err(NO_LENGTH.into());
            }
        }
        Ok(false)
    }
}

const NO_LENGTH: &str = "a part has no Content-Length";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_however_they_are_cut() -> Result<(), String> {
        let part = b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: 6\r\n\r\nab\r\ncd\r\n";
        let stream = part.repeat(3);
        for step in [1, 2, 7, 50, stream.len()] {
            let mut parts = Parts::default();
            let mut found = vec![];
            for mut piece in stream.chunks(step) {
                while parts.next(&mut piece)? {
                    found.push(parts.part().head().to_vec());
                }
            }
            assert_eq!(found, vec![b"ab\r\ncd".to_vec(); 3], "pieces of {step}");
        }
        Ok(())
    }

    #[test]
    fn a_part_without_a_length_is_an_error() {
        assert!(Parts::default().next(&mut &b"--b\r\n\r\ndata"[..]).is_err());
        assert!(Parts::default().next(&mut &[b'x'; 10_000][..]).is_err());
    }
}
