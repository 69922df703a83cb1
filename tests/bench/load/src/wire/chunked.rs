//! The chunked transfer coding of HTTP/1.1, removed.

/// Finds the data in a chunked body that arrives in pieces. Trailers are not supported.
#[derive(Debug, Default)]
pub struct Chunked {
    line: Vec<u8>,
    left: usize,
}

impl Chunked {
    /// Takes the next run of data off `input`; `None` once all of it is taken.
    ///
    /// # Errors
    /// When a chunk does not begin with its size.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, String> {
        while self.left == 0 {
            let Some((&byte, rest)) = input.split_first() else { return Ok(None) };
            *input = rest;
            if byte != b'\n' {
                self.line.push(byte);
                if self.line.len() > 256 {
                    return Err("a chunk does not begin with its size".into());
                }
                continue;
            }
            let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).trim().to_owned();
            // An empty line ends the chunk before.
            if line.is_empty() {
                continue;
            }
            let size = line.split(';').next().unwrap_or_default();
            self.left =
                usize::from_str_radix(size, 16).map_err(|_| format!("a chunk has no size: {line:?}"))?;
        }
        if input.is_empty() {
            return Ok(None);
        }
        let (data, rest) = input.split_at(self.left.min(input.len()));
        self.left -= data.len();
        *input = rest;
        Ok(Some(data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_however_they_are_cut() -> Result<(), String> {
        let body = b"5\r\nhello\r\n1;name=value\r\n \r\nA\r\n0123456789\r\n";
        for step in [1, 2, 3, 5, body.len()] {
            let mut chunked = Chunked::default();
            let mut data = vec![];
            for mut piece in body.chunks(step) {
                while let Some(run) = chunked.next(&mut piece)? {
                    data.extend_from_slice(run);
                }
            }
            assert_eq!(data, b"hello 0123456789", "pieces of {step}");
        }
        Ok(())
    }

    #[test]
    fn a_chunk_without_a_size_is_an_error() {
        assert!(Chunked::default().next(&mut &b"nonsense\r\n"[..]).is_err());
        assert!(Chunked::default().next(&mut &[b'1'; 1000][..]).is_err());
    }
}
