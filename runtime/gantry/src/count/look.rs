//! Looks at the film.

use super::annotated::Annotated;
use super::interrupt;
use super::plan::Plan;
use super::report::Report;
use super::{Recording, Speed};
use gantry_media::{Film, FilmFormat, FilmFrame, Wanted};
use gantry_vision::{Counter, Crossing, Event, Frame};
use std::time::{Duration, Instant};

/// `demo:` has no end of its own, in seconds.
const DEMO_S: f64 = 60.0;

/// What the gateway looks at in a second, where nothing else is said: what is tuned here is what runs there.
const FPS: f64 = 10.0;

/// Every picture, every second, every third, …, so that there are about ten a second or a few more. Choosing ten of twelve
/// would make people jump. More are not better: from one to the next nobody moves, and what flickers gets more chances to
/// be taken for somebody.
fn usual(rate: Option<f64>) -> f64 {
    rate.filter(|rate| *rate > 0.0).map_or(FPS, |rate| rate / (rate / FPS + 0.1).floor().max(1.0))
}

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) crossings: Vec<Crossing>,
    /// The most people of each zone.
    pub(super) most: Vec<(String, usize)>,
    pub(super) faces: Option<usize>,
    /// Pictures that were looked at.
    pub(super) pictures: u64,
    /// The time of the last one, in seconds.
    pub(super) last_s: f64,
    pub(super) took: Duration,
    /// How much of it was looking.
    pub(super) looked: Duration,
}

/// Why it did not go on.
pub(super) enum Failure {
    /// Something that was given is wrong.
    Setup(String),
    /// The film, or the one that is written.
    Film(anyhow::Error),
}

/// Counts, and gives what was counted until the end, or until what went wrong with the film.
pub(super) fn look(
    given: &Recording,
    plan: Plan,
    report: &mut Report,
) -> Result<(Outcome, Option<anyhow::Error>), Failure> {
    let mut eye = Eye::open(given, plan)?;
    let begun = Instant::now();
    let failure = match eye.run(report, begun) {
        Err(Failure::Film(error)) => Some(error),
        done => done.map(|()| None)?,
    };
    eye.outcome.took = begun.elapsed();
    Ok((eye.outcome, failure))
}

struct Eye {
    film: Film,
    plan: Plan,
    annotated: Option<Annotated>,
    outcome: Outcome,
}

impl Eye {
    fn open(given: &Recording, plan: Plan) -> Result<Self, Failure> {
        let until_s = given.duration.or_else(|| given.film.starts_with("demo:").then_some(DEMO_S));
        let wanted = Wanted {
            // As it is: detectors make pictures smaller themselves, and better than a scaler that only takes neighbours.
            format: FilmFormat::I420 { longest: None },
            fps: plan.fps,
            realtime: given.speed == Speed::Real,
            until_s,
        };
        let mut film = Film::open(&given.film, wanted).map_err(|e| Failure::Film(e.into()))?;
        let fps = plan.fps.unwrap_or_else(|| usual(film.rate()));
        film.set_fps(Some(fps));
        let annotated = given.annotate.as_deref().map(|path| Annotated::new(path, &given.film, fps));
        let annotated = annotated.transpose().map_err(Failure::Setup)?;
        interrupt::stops(film.stopper());
        let most = plan.zones.iter().map(|zone| (zone.name().to_owned(), 0)).collect();
        let faces = plan.picker.as_ref().map(|_| 0);
        Ok(Self { film, plan, annotated, outcome: Outcome { most, faces, ..Outcome::default() } })
    }

    fn run(&mut self, report: &mut Report, begun: Instant) -> Result<(), Failure> {
        let film = |e: gantry_media::MediaError| Failure::Film(e.into());
        let mut counter: Option<Counter> = None;
        while let Some(frame) = self.film.next() {
            let frame = frame.map_err(film)?;
            let mut counting = match counter.take() {
                Some(counter) => counter,
                None => {
                    let shape = frame.width as f32 / frame.height.max(1) as f32;
                    self.plan.counter(shape).map_err(Failure::Setup)?
                }
            };
            self.step(&mut counting, &frame, report)?;
            counter = Some(counting);
            report.progress(frame.t_s, self.film.duration_s(), begun.elapsed());
            if report.is_deaf() {
                break;
            }
        }
        if let Some(picker) = &mut self.plan.picker {
            *self.outcome.faces.get_or_insert(0) += picker.finish().len();
        }
        if let Some(annotated) = self.annotated.take() {
            annotated.finish().map_err(film)?;
        }
        if let Some((there, whole)) = self.film.cut_off() {
            report.note(&format!(
                "the recording ends at {there:.1} s of {whole:.1} s: it was cut off: copy it again if it should be whole"
            ));
        }
        Ok(())
    }

    fn step(&mut self, counter: &mut Counter, frame: &FilmFrame, report: &mut Report) -> Result<(), Failure> {
        let broken = |e: gantry_vision::Error| Failure::Film(e.into());
        let view = frame.view();
        let (width, height) = (view.width as usize, view.height as usize);
        let picture = Frame::i420(view.planes, width, height, view.strides).map_err(broken)?;
        let begun = Instant::now();
        let events = counter.step(&picture, frame.t_s).map_err(broken)?;
        if let Some(picker) = &mut self.plan.picker {
            let faces = picker.step(&picture, counter.tracks(), frame.t_s).map_err(broken)?;
            *self.outcome.faces.get_or_insert(0) += faces.len();
        }
        let outcome = &mut self.outcome;
        outcome.looked += begun.elapsed();
        outcome.pictures += 1;
        outcome.last_s = frame.t_s;
        for event in events {
            report.event(&event);
            match event {
                Event::Crossing(crossing) => outcome.crossings.push(crossing),
                Event::Occupancy { zone, people, .. } => {
                    for (_, most) in outcome.most.iter_mut().filter(|(name, _)| *name == zone) {
                        *most = people.max(*most);
                    }
                }
            }
        }
        if let Some(annotated) = &mut self.annotated {
            let faces = self.plan.picker.as_ref().map(gantry_vision::Picker::faces).unwrap_or_default();
            let seen = annotated.overlay(&self.plan, counter, &self.outcome, faces, frame.t_s);
            if let Some(note) = annotated.draw(frame, &seen).map_err(Failure::Film)? {
                report.note(&note);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::usual;

    #[test]
    fn pictures_are_chosen_evenly() {
        for (rate, chosen) in
            [(10.0, 10.0), (12.0, 12.0), (15.0, 15.0), (20.0, 10.0), (25.0, 12.5), (30.0, 10.0)]
        {
            assert!((usual(Some(rate)) - chosen).abs() < 1e-9, "{rate}");
        }
        assert!((usual(Some(29.83)) - 29.83 / 3.0).abs() < 1e-9);
        assert!((usual(Some(5.0)) - 5.0).abs() < 1e-9);
        assert!((usual(None) - 10.0).abs() < 1e-9);
    }
}
