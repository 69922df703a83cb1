//! As much of JPEG as it takes to know where a picture ends and how large it is.

/// What a look at a picture tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// Width and height in pixels, if they are told.
    pub size: Option<(u16, u16)>,
    /// Where the picture ends, if it is well-formed and ends: an end within a thumbnail is none.
    pub end: Option<usize>,
}

/// Whether it begins and ends as a picture does. Some cameras fill up with zeros behind the end.
#[must_use]
pub fn has_both_ends(bytes: &[u8]) -> bool {
    let filling = bytes.iter().rev().take_while(|byte| **byte == 0).count();
    bytes.len() - filling >= 4
        && bytes.starts_with(&[0xff, 0xd8])
        && bytes[..bytes.len() - filling].ends_with(&[0xff, 0xd9])
}

/// Goes through a picture from its start.
#[must_use]
pub fn look(bytes: &[u8]) -> Look {
    let mut look = Look::default();
    // What breaks off or is odd ends the walk, and has no end.
    let _ = walk(bytes, &mut look);
    look
}

fn walk(bytes: &[u8], look: &mut Look) -> Option<()> {
    if !bytes.starts_with(&[0xff, 0xd8]) {
        return None;
    }
    let mut at = 2;
    loop {
        if *bytes.get(at)? != 0xff {
            return None;
        }
        // Any number of 0xff may stand before a marker.
        while *bytes.get(at)? == 0xff {
            at += 1;
        }
        let marker = bytes[at];
        at += 1;
        match marker {
            0xd9 => {
                look.end = Some(at);
                return Some(());
            }
            0x01 | 0xd0..=0xd7 => continue,
            0x00 | 0xd8 => return None,
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        if length < 2 {
            return None;
        }
        let segment = bytes.get(at + 2..at + length)?;
        at += length;
        let is_frame = matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc);
        if is_frame && let [_, h0, h1, w0, w1, ..] = *segment {
            look.size = Some((u16::from_be_bytes([w0, w1]), u16::from_be_bytes([h0, h1])));
        }
        if marker == 0xda {
            at += scan(&bytes[at..])?;
        }
    }
}

/// The length of entropy-coded data: up to a marker that is neither a stuffed byte nor a restart.
fn scan(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == 0xff)?;
        match bytes.get(at + 1)? {
            0x00 | 0xd0..=0xd7 => at += 2,
            0xff => at += 1,
            _ => return Some(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{has_both_ends, look};
    use proptest::prelude::*;

    /// Comment, frame header of 640×480, scan with a stuffed byte and a restart.
    const PICTURE: &[u8] = &[
        0xff, 0xd8, 0xff, 0xfe, 0, 4, 0xff, 0xd9, 0xff, 0xff, 0xc0, 0, 11, 8, 1, 0xe0, 2, 0x80, 1, 1, 0x11,
        0, 0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0x12, 0xff, 0, 0x34, 0xff, 0xd0, 0x56, 0xff, 0xd9,
    ];

    #[test]
    fn a_picture_tells_its_size_and_where_it_ends() {
        let seen = look(PICTURE);
        assert_eq!((seen.size, seen.end), (Some((640, 480)), Some(PICTURE.len())));
        let filled = [PICTURE, &[0; 9]].concat();
        assert_eq!(look(&filled), seen);
    }

    #[test]
    fn an_end_within_a_segment_is_none() {
        // The comment ends in an end marker.
        assert!(has_both_ends(&PICTURE[..8]));
        assert_eq!(look(&PICTURE[..8]).end, None);
    }

    #[test]
    fn what_breaks_off_has_no_end() {
        for length in 0..PICTURE.len() {
            assert_eq!(look(&PICTURE[..length]).end, None, "{length} bytes");
        }
    }

    #[test]
    fn both_ends_count_and_zeros_behind_them_do_not() {
        assert!(has_both_ends(PICTURE) && has_both_ends(&[PICTURE, &[0; 9]].concat()));
        assert!(has_both_ends(&[0xff, 0xd8, 0xff, 0xd9]));
        assert!(!has_both_ends(&[0xff, 0xd8, 0xd9]));
        for bytes in [&b""[..], &[0xff, 0xd9], &[0, 0, 0], b"not a picture", &PICTURE[1..], &PICTURE[..20]] {
            assert!(!has_both_ends(bytes), "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_looked_at(bytes in any::<Vec<u8>>(), cut in 0..PICTURE.len()) {
            let _ = (look(&bytes), has_both_ends(&bytes));
            let seen = look(&[&PICTURE[..cut], &bytes].concat());
            prop_assert!(seen.end.is_none_or(|end| end <= cut + bytes.len()));
        }
    }
}
