//! A Matroska file with one video track, written so that what is there can be played at any time.
//!
//! GStreamer's muxer was not taken: a recording changes files between two frames, must end well when the disk is full, and
//! must be finished after a crash, and with the bytes in our own hands each of these is a few lines. Sizes that are not known
//! yet are written as unknown, which every player reads to the end of the file. What a clean end adds is the duration, an
//! index, and last of all the size of the whole, by which a finished file is told from one that a crash left.

use super::ebml::{
    CLUSTER, CUES, DURATION, EPOCH_2001_NS, INFO, SEEK_HEAD, SEEK_LEN, SIMPLE_BLOCK, SLOT, TIMESTAMP, TRACKS,
    Track, UNKNOWN, VOID, duration_at, element, head, head_start, id, info, long_size, seek_head,
    segment_start, slot, vint,
};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A cluster is closed after this much time, in ms. Times of its pictures are 16 bits from its beginning.
const CLUSTER_MS: u64 = 1_000;
/// A key picture may be so much early, so that one of every second is not missed by a rounding.
const KEY_EARLY_MS: u64 = 100;
/// The largest picture: its size is written in four bytes.
const MAX_PICTURE: usize = (1 << 28) - 16;

/// A file that is being written, or that a crash left.
#[derive(Debug)]
pub(crate) struct Movie {
    file: File,
    /// Where the next block goes: everything before is whole.
    end: u64,
    /// The open cluster: where its size is written, and its time in ms.
    cluster: Option<(u64, u64)>,
    /// Time in ms and place of each cluster that begins with a key picture.
    cues: Vec<(u64, u64)>,
    last_ms: u64,
    previous_ms: u64,
    frames: u64,
    start_unix_ns: i64,
}

impl Movie {
    /// Writes the beginning of a file. `start_unix_ns` is when its first picture was captured.
    pub(crate) fn create(file: File, track: Track<'_>, start_unix_ns: u64) -> io::Result<Self> {
        let start_unix_ns = i64::try_from(start_unix_ns).unwrap_or(i64::MAX);
        let head = head(track, start_unix_ns);
        file.set_len(0)?;
        file.write_all_at(&head, 0)?;
        Ok(Self::new(file, head.len() as u64, start_unix_ns))
    }

    fn new(file: File, end: u64, start_unix_ns: i64) -> Self {
        let (cluster, cues) = (None, Vec::new());
        Self { file, end, cluster, cues, last_ms: 0, previous_ms: 0, frames: 0, start_unix_ns }
    }

    /// Appends a picture, `ms` after the beginning of the file. Times only grow.
    pub(crate) fn append(&mut self, ms: u64, key: bool, data: &[u8]) -> io::Result<()> {
        if data.len() > MAX_PICTURE {
            return Err(io::Error::other(format!("a picture of {} bytes is too large", data.len())));
        }
        // A cluster that begins with a key picture can be jumped to; one that lasts too long loses too much in a crash.
        let is_over = |start: u64| {
            ms >= start + CLUSTER_MS * 2 || (key && ms >= start + CLUSTER_MS - KEY_EARLY_MS) || ms < start
        };
        if self.cluster.is_none_or(|(_, start)| is_over(start)) {
            self.open_cluster(ms, key)?;
        }
        let start = self.cluster.map_or(ms, |(_, start)| start);
        let relative = i16::try_from(ms - start).unwrap_or(i16::MAX).to_be_bytes();
        let mut block = vec![SIMPLE_BLOCK as u8];
        block.extend((0x1000_0000 | (data.len() as u32 + 4)).to_be_bytes());
        block.extend([0x81, relative[0], relative[1], if key { 0x80 } else { 0 }]);
        self.file.write_all_at(&block, self.end)?;
        self.file.write_all_at(data, self.end + block.len() as u64)?;
        self.end += (block.len() + data.len()) as u64;
        self.saw(ms);
        Ok(())
    }

    fn saw(&mut self, ms: u64) {
        (self.previous_ms, self.last_ms) = (if self.frames == 0 { ms } else { self.last_ms }, ms);
        self.frames += 1;
    }

    fn open_cluster(&mut self, ms: u64, key: bool) -> io::Result<()> {
        self.close_cluster()?;
        let mut bytes = id(CLUSTER);
        bytes.extend(UNKNOWN);
        bytes.extend([TIMESTAMP as u8, 0x88]);
        bytes.extend(ms.to_be_bytes());
        self.file.write_all_at(&bytes, self.end)?;
        if key {
            self.cues.push((ms, self.end));
        }
        self.cluster = Some((self.end + 4, ms));
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn close_cluster(&mut self) -> io::Result<()> {
        let Some((at, _)) = self.cluster.take() else { return Ok(()) };
        self.file.write_all_at(&long_size(self.end - at - 8), at)
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.end
    }

    /// Pictures so far.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// When the first picture was captured, in ms since the Unix epoch.
    pub(crate) fn start_unix_ms(&self) -> u64 {
        u64::try_from(self.start_unix_ns / 1_000_000).unwrap_or(0)
    }

    /// How long it lasts if its last picture is shown as long as the one before it.
    pub(crate) fn likely_duration_ms(&self) -> u64 {
        // After a crash the end may be rubbish that happens to read as a picture, of any time.
        let last = self.last_ms.saturating_sub(self.previous_ms).clamp(1, CLUSTER_MS);
        if self.frames == 0 { 0 } else { self.last_ms.saturating_add(last) }
    }

    /// Brings what was written to the disk, so that a power cut does not take it.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Adds duration, index and sizes: gives the bytes of the file. On a full disk the index is left out, which players
    /// forgive; everything else is written over what is there already.
    pub(crate) fn finish(mut self, duration_ms: u64) -> io::Result<u64> {
        // A picture that did not fit is not to be a broken end.
        self.file.set_len(self.end)?;
        self.close_cluster()?;
        let info_at = head_start().len() as u64 + SEEK_LEN as u64;
        let tracks_at = info_at + info(0).len() as u64;
        let mut seeks = vec![(INFO, info_at), (TRACKS, tracks_at)];
        let cues = self.cue_bytes();
        match self.file.write_all_at(&cues, self.end) {
            Ok(()) if !self.cues.is_empty() => {
                seeks.push((CUES, self.end));
                self.end += cues.len() as u64;
            }
            _ => self.file.set_len(self.end)?,
        }
        self.file.write_all_at(&seek_head(&seeks), info_at - SEEK_LEN as u64)?;
        self.file.write_all_at(&slot(DURATION, (duration_ms as f64).to_be_bytes()), duration_at())?;
        self.file.sync_data()?;
        let start = segment_start();
        self.file.write_all_at(&long_size(self.end - start), start - 8)?;
        self.file.sync_data()?;
        Ok(self.end)
    }

    fn cue_bytes(&self) -> Vec<u8> {
        let mut points = Vec::with_capacity(self.cues.len() * 32);
        for (ms, at) in &self.cues {
            let place = [element(0xf7, &[1]), element(0xf1, &(at - segment_start()).to_be_bytes())];
            let point = [element(0xb3, &ms.to_be_bytes()), element(0xb7, &place.concat())];
            points.extend(element(0xbb, &point.concat()));
        }
        element(CUES, &points)
    }

    /// Reads a file that a crash left, up to its last whole picture, so that it can be finished. `None` when it is finished
    /// already, or not one of ours.
    pub(crate) fn reopen(file: File) -> io::Result<Option<Self>> {
        let start = head_start();
        let mut found = vec![0; start.len()];
        match file.read_exact_at(&mut found, 0) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        // It ends in the size of the segment, which is known when the file is finished.
        if found != start {
            return Ok(None);
        }
        let length = file.metadata()?.len();
        let mut movie = Self::new(file, start.len() as u64, 0);
        let mut at = movie.end;
        while let Some(next) = movie.read_element(at, length)? {
            at = next;
        }
        // A cluster without a whole picture is nothing.
        if movie.cluster.is_some_and(|(size_at, _)| movie.end <= size_at) {
            movie.cluster = None;
        }
        Ok(Some(movie))
    }

    /// Takes in the element at `at`, and says where the next one is; `None` when what is there is not whole.
    fn read_element(&mut self, at: u64, length: u64) -> io::Result<Option<u64>> {
        let mut bytes = [0; 24];
        let there = usize::try_from(length.saturating_sub(at)).unwrap_or(24).min(24);
        self.file.read_exact_at(&mut bytes[..there], at)?;
        let Some((kind, id_len)) = vint(&bytes[..there], 4, true) else { return Ok(None) };
        let Some((size, size_len)) = vint(&bytes[id_len..there], 8, false) else { return Ok(None) };
        let data = at + (id_len + size_len) as u64;
        let body = &bytes[id_len + size_len..there];
        let is_whole = data.checked_add(size).is_some_and(|end| end <= length);
        match u32::try_from(kind).unwrap_or(0) {
            CLUSTER => {
                let timestamp = [TIMESTAMP as u8, 0x88];
                let mut time = [0; 10];
                if data + 10 > length
                    || self.file.read_exact_at(&mut time, data).is_err()
                    || time[..2] != timestamp
                {
                    return Ok(None);
                }
                let ms = u64::from_be_bytes([
                    time[2], time[3], time[4], time[5], time[6], time[7], time[8], time[9],
                ]);
                self.cluster = Some((at + 4, ms));
                Ok(Some(data + 10))
            }
            SIMPLE_BLOCK => {
                let (Some((_, start)), true, Some([_, high, low, flags])) =
                    (self.cluster, is_whole, body.get(..4))
                else {
                    return Ok(None);
                };
                let ms = start + u64::from(u16::from_be_bytes([*high, *low]));
                if *flags & 0x80 != 0 && self.cues.last().is_none_or(|(cued, _)| *cued < start) && ms == start
                {
                    self.cues.push((ms, at - 22));
                }
                self.saw(ms);
                self.end = data + size;
                Ok(Some(self.end))
            }
            INFO if is_whole && size < 4096 => {
                let mut date = vec![0; size as usize];
                self.file.read_exact_at(&mut date, data)?;
                let header = [0x44, 0x61, 0x88];
                if let Some(found) = date.windows(SLOT).find(|w| w.starts_with(&header)) {
                    let ns = found[3..].iter().fold(0u64, |n, b| n << 8 | u64::from(*b)) as i64;
                    self.start_unix_ns = ns.saturating_add(EPOCH_2001_NS);
                }
                self.end = data + size;
                Ok(Some(self.end))
            }
            VOID | SEEK_HEAD | TRACKS if is_whole => {
                self.end = data + size;
                Ok(Some(self.end))
            }
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ebml::void;
    use super::*;

    const TRACK: Track<'_> = Track { codec: "V_MJPEG", private: &[], width: 64, height: 48 };

    fn new() -> (Movie, File) {
        let file = tempfile::tempfile().expect("a file");
        let movie =
            Movie::create(file.try_clone().expect("a second handle"), TRACK, 1_700_000_000_123_000_000);
        (movie.expect("written"), file)
    }

    fn read(file: &File) -> Vec<u8> {
        let mut bytes = vec![0; file.metadata().expect("metadata").len() as usize];
        file.read_exact_at(&mut bytes, 0).expect("read");
        bytes
    }

    fn refill(bytes: &[u8]) -> File {
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(bytes, 0).expect("written");
        file
    }

    fn written(frames: u64) -> Vec<u8> {
        let (mut movie, file) = new();
        for n in 0..frames {
            movie.append(n * 40, true, &vec![n as u8; 100 + n as usize]).expect("written");
        }
        read(&file)
    }

    #[test]
    fn the_room_that_was_left_is_what_is_needed() {
        assert_eq!(seek_head(&[(INFO, 100), (TRACKS, 200), (CUES, 300)]).len(), SEEK_LEN);
        assert_eq!(seek_head(&[(INFO, 100), (TRACKS, 200)]).len(), SEEK_LEN);
        assert_eq!(slot(DURATION, [0; 8]).len(), SLOT);
        let (_, file) = new();
        let at = duration_at() as usize;
        assert_eq!(read(&file)[at..at + SLOT], void(SLOT));
    }

    #[test]
    fn what_a_crash_left_is_finished_as_if_it_had_been_stopped() {
        let (mut movie, stopped) = new();
        for n in 0..60 {
            movie.append(n * 40, true, &vec![n as u8; 100 + n as usize]).expect("written");
        }
        assert_eq!((movie.frames(), movie.likely_duration_ms()), (60, 2400));
        movie.finish(2400).expect("finished");
        let crashed = refill(&written(60));
        let movie = Movie::reopen(crashed.try_clone().expect("a handle")).expect("read").expect("unfinished");
        assert_eq!((movie.frames(), movie.likely_duration_ms()), (60, 2400));
        assert_eq!(movie.start_unix_ms(), 1_700_000_000_123);
        movie.finish(2400).expect("finished");
        assert!(read(&crashed) == read(&stopped), "they differ");
        assert!(Movie::reopen(crashed).expect("read").is_none(), "finished");
    }

    proptest::proptest! {
        #[test]
        fn wherever_a_file_breaks_off_its_whole_pictures_stay(cut in 0usize..8000, junk in proptest::collection::vec(0u8.., 0..40)) {
            let whole = written(60);
            let mut bytes = whole[..cut.min(whole.len())].to_vec();
            bytes.extend(&junk);
            let file = refill(&bytes);
            if let Some(movie) = Movie::reopen(file.try_clone().expect("a handle")).expect("read") {
                let (frames, end) = (movie.frames(), movie.bytes());
                proptest::prop_assert!(end <= bytes.len() as u64 && frames <= 61);
                let duration = movie.likely_duration_ms();
                movie.finish(duration).expect("finished");
                proptest::prop_assert!(Movie::reopen(file).expect("read").is_none());
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(0u8.., 0..200)) {
            let mut file = head(TRACK, 0);
            file.extend(bytes);
            let _ = Movie::reopen(refill(&file)).expect("read");
        }
    }
}
