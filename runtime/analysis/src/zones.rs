//! What was told of zones.

use crate::Seen;
use crate::desk::{Desk, Kit};
use crate::places::Places;
use std::collections::BTreeMap;
use std::time::Instant;

/// The last frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Last {
    pub(crate) came: Instant,
    /// When it was taken, Unix time in milliseconds, and in seconds of the frames' clock.
    pub(crate) unix_ms: i64,
    pub(crate) t: f64,
}

impl Last {
    /// The Unix time of a time of the frames' clock, in milliseconds.
    pub(crate) fn unix_ms(&self, t: f64) -> i64 {
        self.unix_ms.saturating_add(((t - self.t) * 1000.0).round() as i64)
    }
}

/// How many people were told to be in each zone, and with which frame. Locked while it is told, so that what
/// is told is in order.
#[derive(Default)]
pub(crate) struct Zones {
    told: BTreeMap<String, usize>,
    last: Option<Last>,
}

impl Zones {
    /// Forgets zones that are gone.
    pub(crate) fn keep(&mut self, places: &Places) {
        self.told.retain(|name, _| places.zones.iter().any(|zone| zone.name() == name));
    }

    /// Tells of zones in which there is another number of people than was told.
    pub(crate) fn tell(&mut self, kit: &Kit, desk: &Desk, zones: &BTreeMap<String, usize>, last: Last) {
        self.last = Some(last);
        for (zone, people) in zones {
            let told = self.told.insert(zone.clone(), *people);
            if told.unwrap_or(0) != *people {
                let (camera, zone, people) = (desk.camera.clone(), zone.clone(), *people as u64);
                desk.tell(&kit.sink, Seen::Occupancy { camera, zone, people, unix_ms: last.unix_ms });
            }
        }
    }

    /// Tells that nobody is known to be anywhere any more.
    pub(crate) fn tell_empty(&mut self, kit: &Kit, desk: &Desk, now: Instant) {
        if let Some(last) = self.last.filter(|_| self.told.values().any(|people| *people > 0)) {
            let since = now.saturating_duration_since(last.came).as_secs_f64();
            let empty = self.told.keys().map(|zone| (zone.clone(), 0)).collect();
            let unix_ms = last.unix_ms(last.t + since);
            self.tell(kit, desk, &empty, Last { came: now, unix_ms, t: last.t + since });
        }
    }
}
