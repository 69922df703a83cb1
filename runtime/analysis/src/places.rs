//! Lines and zones of the configuration, as `gantry-vision` has them.

use gantry_core::config::{self, Analysis};
use gantry_vision::{Anchor, Error, Line, Point, Zone};

/// Lines and zones.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Places {
    pub(crate) lines: Vec<Line>,
    pub(crate) zones: Vec<Zone>,
    /// What is wrong with those that are left out.
    pub(crate) problems: Vec<String>,
}

impl Places {
    pub(crate) fn of(config: &Analysis) -> Self {
        let mut places = Self::default();
        for (name, given) in config.lines.iter().take(crate::check::MOST) {
            match line(name, given) {
                Ok(line) => places.lines.push(line),
                Err(error) => places.problems.push(error.to_string()),
            }
        }
        for (name, given) in config.zones.iter().take(crate::check::MOST) {
            match zone(name, given) {
                Ok(_) if config.lines.contains_key(name) => {
                    places.problems.push(Error::Name { name: name.clone() }.to_string());
                }
                Ok(zone) => places.zones.push(zone),
                Err(error) => places.problems.push(error.to_string()),
            }
        }
        places
    }
}

/// A line of the configuration.
///
/// # Errors
/// When it has no length or is not in the picture.
pub fn line(name: &str, given: &config::Line) -> Result<Line, Error> {
    let line = Line::new(name, point(given.from), point(given.to))?.with_anchor(anchor(given.anchor));
    Ok(match given.band {
        Some(band) => line.with_band(band),
        None => line,
    })
}

/// A zone of the configuration.
///
/// # Errors
/// When it has no area or is not in the picture.
pub fn zone(name: &str, given: &config::Zone) -> Result<Zone, Error> {
    let corners = given.corners.iter().copied().map(point).collect();
    Ok(Zone::new(name, corners)?.with_anchor(anchor(given.anchor)))
}

fn point([x, y]: [f32; 2]) -> Point {
    Point::new(x, y)
}

fn anchor(anchor: config::Anchor) -> Anchor {
    match anchor {
        config::Anchor::Centre => Anchor::Centre,
        config::Anchor::Foot => Anchor::Foot,
    }
}
