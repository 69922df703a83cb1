//! The film of what was seen.

use super::look::Outcome;
use super::plan::Plan;
use gantry_media::{FilmFrame, FilmWriter, I420View, MediaError};
use gantry_vision::{
    Canvas, Counter, Direction, Line, LineMark, Overlay, PersonMark, Rect, Sight, ZoneMark, annotate,
};
use std::path::{Path, PathBuf};

pub(super) struct Annotated {
    path: PathBuf,
    fps: f64,
    /// Begun with the first picture, whose size it has.
    writer: Option<FilmWriter>,
    copy: Vec<u8>,
}

impl Annotated {
    pub(super) fn new(path: &Path, film: &str, fps: f64) -> Result<Self, String> {
        let same =
            |other: &Path| path.canonicalize().is_ok_and(|p| other.canonicalize().is_ok_and(|o| o == p));
        let from = film.strip_prefix("file://").unwrap_or(film);
        if same(Path::new(film)) || same(Path::new(from)) {
            let path = path.display();
            return Err(format!("--annotate {path} is the recording itself: give another file"));
        }
        Ok(Self { path: path.to_owned(), fps, writer: None, copy: Vec::new() })
    }

    /// What was seen at a picture.
    #[expect(clippy::unused_self, reason = "only what is annotated has one")]
    pub(super) fn overlay(
        &self,
        plan: &Plan,
        counter: &Counter,
        outcome: &Outcome,
        faces: Vec<Rect>,
        t_s: f64,
    ) -> Overlay {
        let count = |line: &Line, way: Direction| {
            let its = outcome.crossings.iter().filter(|c| c.line == line.name() && c.direction == way);
            its.count() as u64
        };
        let people_in =
            |name: &str| counter.occupancy().find(|(zone, _)| *zone == name).map_or(0, |(_, people)| people);
        let lines = plan.lines.iter().map(|line| LineMark {
            line: line.clone(),
            count_in: count(line, Direction::In),
            count_out: count(line, Direction::Out),
        });
        let zones =
            plan.zones.iter().map(|zone| ZoneMark { zone: zone.clone(), people: people_in(zone.name()) });
        let believed = counter.tracks().iter().filter(|track| track.confirmed);
        let people = believed.map(|track| PersonMark {
            id: track.id,
            rect: track.rect(),
            hidden: track.sight == Sight::Hidden,
        });
        Overlay {
            lines: lines.collect(),
            zones: zones.collect(),
            people: people.collect(),
            faces,
            text: vec![format!("{t_s:.1} s")],
        }
    }

    /// Draws it and adds the picture to the film. Gives what the operator should know of the film, once.
    pub(super) fn draw(&mut self, frame: &FilmFrame, overlay: &Overlay) -> anyhow::Result<Option<String>> {
        let view = frame.view();
        let (width, height) = (view.width as usize, view.height as usize);
        let rows = [(0, height), (1, height.div_ceil(2)), (1, height.div_ceil(2))];
        self.copy.clear();
        let mut ends = [0; 3];
        for (n, (stride, rows)) in rows.into_iter().enumerate() {
            // What lies behind the last row belongs to other planes.
            let plane = view.planes[n];
            self.copy.extend_from_slice(&plane[..plane.len().min(view.strides[stride] * rows)]);
            ends[n] = self.copy.len();
        }
        let (luma, chroma) = self.copy.split_at_mut(ends[0]);
        let (u, v) = chroma.split_at_mut(ends[1] - ends[0]);
        annotate(&mut Canvas::i420([luma, u, v], width, height, view.strides)?, overlay);
        let planes = [&self.copy[..ends[0]], &self.copy[ends[0]..ends[1]], &self.copy[ends[1]..]];
        let drawn = I420View { planes, ..view };
        let mut note = None;
        if self.writer.is_none() {
            let writer = FilmWriter::create(&self.path, view.width, view.height, self.fps)?;
            note = writer.codec().advice();
            self.writer = Some(writer);
        }
        if let Some(writer) = &mut self.writer {
            writer.push(&drawn, frame.t_s)?;
        }
        Ok(note)
    }

    pub(super) fn finish(self) -> Result<(), MediaError> {
        self.writer.map_or(Ok(()), FilmWriter::finish)
    }
}
