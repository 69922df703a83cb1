//! The layout of our Matroska files: elements, their headers, and where the parts are that are written last.

pub(crate) const EBML: u32 = 0x1a45_dfa3;
pub(crate) const SEGMENT: u32 = 0x1853_8067;
pub(crate) const SEEK_HEAD: u32 = 0x114d_9b74;
pub(crate) const INFO: u32 = 0x1549_a966;
pub(crate) const TRACKS: u32 = 0x1654_ae6b;
pub(crate) const CLUSTER: u32 = 0x1f43_b675;
pub(crate) const CUES: u32 = 0x1c53_bb6b;
pub(crate) const DURATION: u32 = 0x4489;
pub(crate) const DATE: u32 = 0x4461;
pub(crate) const TIMESTAMP: u32 = 0xe7;
pub(crate) const SIMPLE_BLOCK: u32 = 0xa3;
pub(crate) const VOID: u32 = 0xec;

/// A size that is not known yet, in eight bytes.
pub(crate) const UNKNOWN: [u8; 8] = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
/// Bytes of the SeekHead, for which room is left: a header of 5 and three entries of 21.
pub(crate) const SEEK_LEN: usize = 5 + 3 * SEEK_ENTRY;
pub(crate) const SEEK_ENTRY: usize = 21;
/// Bytes of a duration and of a date, each with its header.
pub(crate) const SLOT: usize = 11;
/// Dates count from the beginning of 2001.
pub(crate) const EPOCH_2001_NS: i64 = 978_307_200_000_000_000;
/// What the pictures of a file are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Track<'a> {
    /// `V_MJPEG` or `V_MPEG4/ISO/AVC`.
    pub(crate) codec: &'static str,
    /// What a decoder needs before the first picture; empty for JPEG.
    pub(crate) private: &'a [u8],
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// Reads a number of variable length of at most `longest` bytes, with or without its marker; and its length.
pub(crate) fn vint(bytes: &[u8], longest: usize, keep_marker: bool) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let len = first.leading_zeros() as usize + 1;
    if len > longest || bytes.len() < len {
        return None;
    }
    let first = if keep_marker { u64::from(first) } else { u64::from(first) & (0xff >> len) };
    Some((bytes[1..len].iter().fold(first, |n, b| n << 8 | u64::from(*b)), len))
}

/// An element's id as bytes: it says its own length.
pub(crate) fn id(id: u32) -> Vec<u8> {
    id.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect()
}

pub(crate) fn long_size(size: u64) -> [u8; 8] {
    (0x0100_0000_0000_0000 | size).to_be_bytes()
}

pub(crate) fn element(kind: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = id(kind);
    match content.len() {
        short @ 0..0x7f => bytes.push(0x80 | short as u8),
        long => bytes.extend(long_size(long as u64)),
    }
    bytes.extend(content);
    bytes
}

pub(crate) fn slot(kind: u32, value: [u8; 8]) -> Vec<u8> {
    element(kind, &value)
}

/// Everything up to the content of the segment, whose size is unknown.
pub(crate) fn head_start() -> Vec<u8> {
    let ebml = [
        element(0x4286, &[1]),
        element(0x42f7, &[1]),
        element(0x42f2, &[4]),
        element(0x42f3, &[8]),
        element(0x4282, b"matroska"),
        element(0x4287, &[4]),
        element(0x4285, &[2]),
    ];
    let mut bytes = element(EBML, &ebml.concat());
    bytes.extend(id(SEGMENT));
    bytes.extend(UNKNOWN);
    bytes
}

pub(crate) fn segment_start() -> u64 {
    head_start().len() as u64
}

/// Where the duration is: behind the header of Info and the unit of time.
pub(crate) fn duration_at() -> u64 {
    segment_start() + SEEK_LEN as u64 + 5 + 7
}

pub(crate) fn info(date_ns: i64) -> Vec<u8> {
    let content = [
        element(0x2a_d7b1, &1_000_000u32.to_be_bytes()[1..]),
        void(SLOT),
        slot(DATE, date_ns.to_be_bytes()),
        element(0x4d80, b"gantry"),
        element(0x5741, b"gantry"),
    ];
    element(INFO, &content.concat())
}

pub(crate) fn void(len: usize) -> Vec<u8> {
    element(VOID, &vec![0; len - 2])
}

pub(crate) fn head(track: Track<'_>, start_unix_ns: i64) -> Vec<u8> {
    let mut bytes = head_start();
    bytes.extend(void(SEEK_LEN));
    bytes.extend(info(start_unix_ns.saturating_sub(EPOCH_2001_NS)));
    let video = [element(0xb0, &track.width.to_be_bytes()), element(0xba, &track.height.to_be_bytes())];
    let mut entry = [
        element(0xd7, &[1]),
        element(0x73c5, &[1]),
        element(0x83, &[1]),
        element(0x9c, &[0]),
        element(0x22_b59c, b"und"),
        element(0x86, track.codec.as_bytes()),
        element(0xe0, &video.concat()),
    ]
    .concat();
    if !track.private.is_empty() {
        entry.extend(element(0x63a2, track.private));
    }
    bytes.extend(element(TRACKS, &element(0xae, &entry)));
    bytes
}

/// Where the parts of the file are, in exactly [`SEEK_LEN`] bytes.
pub(crate) fn seek_head(parts: &[(u32, u64)]) -> Vec<u8> {
    let mut entries = Vec::with_capacity(SEEK_LEN);
    for (kind, at) in parts {
        let seek = [element(0x53ab, &id(*kind)), element(0x53ac, &(at - segment_start()).to_be_bytes())];
        entries.extend(element(0x4dbb, &seek.concat()));
    }
    let mut bytes = element(SEEK_HEAD, &entries);
    if bytes.len() < SEEK_LEN {
        bytes.extend(void(SEEK_LEN - bytes.len()));
    }
    bytes
}
