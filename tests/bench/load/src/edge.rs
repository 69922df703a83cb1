//! The two ends of a message whose middle nobody needs.

/// How many bytes are kept of either end. A time stamp stands within them in every protocol that is measured.
pub const KEPT: usize = 320;

/// The first and last [`KEPT`] bytes of a message that arrives in pieces, and its length.
#[derive(Debug, Default)]
pub struct Edge {
    head: Vec<u8>,
    tail: Vec<u8>,
    len: usize,
}

impl Edge {
    /// Forgets the message, for the next one.
    pub fn clear(&mut self) {
        self.head.clear();
        self.tail.clear();
        self.len = 0;
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.len += piece.len();
        let missing = KEPT - self.head.len();
        self.head.extend_from_slice(&piece[..missing.min(piece.len())]);
        if let Some(end) = piece.last_chunk::<KEPT>() {
            self.tail.clear();
            self.tail.extend_from_slice(end);
        } else {
            self.tail.extend_from_slice(piece);
            let surplus = self.tail.len().saturating_sub(KEPT);
            self.tail.drain(..surplus);
        }
    }

    /// The beginning.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The end; overlaps the beginning in a short message.
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// The length of the whole message in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the message has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_do_not_depend_on_how_a_message_is_cut() {
        let message: Vec<u8> = (0..2000u32).map(|i| i.to_le_bytes()[0]).collect();
        for step in [1, 7, 319, 320, 321, 1000, 2000] {
            let mut edge = Edge::default();
            message.chunks(step).for_each(|piece| edge.push(piece));
            assert_eq!(edge.len(), 2000);
            assert_eq!(edge.head(), &message[..KEPT], "pieces of {step}");
            assert_eq!(edge.tail(), &message[2000 - KEPT..], "pieces of {step}");
        }
    }

    #[test]
    fn a_short_message_is_both_ends() {
        let mut edge = Edge::default();
        edge.push(b"abc");
        assert_eq!((edge.head(), edge.tail(), edge.len()), (&b"abc"[..], &b"abc"[..], 3));
        edge.clear();
        assert!(edge.is_empty() && edge.head().is_empty() && edge.tail().is_empty());
    }
}
