//! Who walks through the demo corridor, and when: a pure function of the seed and the scene's time.

use std::time::Duration;

/// The doorway line, from its upper to its lower end, in normalised coordinates.
pub const LINE: [(f64, f64); 2] = [(0.5, 0.0), (0.5, 1.0)];

/// Outside the picture by this much, a walker of any size is out of sight.
const OUTSIDE: f64 = 0.14;
/// Before this nobody comes, so that whoever looks at the scene can learn the empty corridor first.
const QUIET: f64 = 1.0;
/// How long who turns back stands still, in seconds.
const HESITATION: f64 = 0.8;

/// Which way a walker crosses the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From left to right.
    In,
    /// From right to left.
    Out,
}

/// A walker's feet pass the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crossing {
    /// Scene time.
    pub time: Duration,
    /// Which way.
    pub direction: Direction,
}

/// Where a walker is at one moment, and how it looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    /// Where the feet are, across the picture: 0 is the left edge, 1 the right.
    pub x: f64,
    /// Where the feet are, down the picture: 0 is the top, 1 the bottom.
    pub y: f64,
    /// From feet to the top of the head, as a part of the picture's height.
    pub height: f64,
    /// Which way the walker looks: 1 to the right, -1 to the left.
    pub facing: f64,
    /// Where in a double step the legs are, in turns; standing still when the second field is false.
    pub gait: f64,
    /// Whether the legs move.
    pub walks: bool,
    /// Selects clothes and build.
    pub looks: u64,
}

/// The timetable of one seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timetable {
    seed: u64,
    people: u32,
}

#[derive(Debug, Clone, Copy)]
struct Walker {
    enters: f64,
    speed: f64,
    direction: Direction,
    /// How far it goes before it turns back, in picture widths from its edge; `None` crosses.
    turns_at: Option<f64>,
    /// 0 is the far side of the corridor, 1 the near one.
    lane: f64,
    looks: u64,
}

/// One number from a seed and a place, well mixed (splitmix64).
pub(crate) fn mix(seed: u64, place: u64) -> u64 {
    let mut z = seed.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number between 0 and 1.
fn part(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

impl Timetable {
    /// The timetable of a seed with [`DEFAULT_PEOPLE`](super::DEFAULT_PEOPLE).
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_people(seed, super::DEFAULT_PEOPLE)
    }

    /// The timetable of a seed with this many groups of one or two walkers per minute, at most
    /// [`MAX_PEOPLE`](super::MAX_PEOPLE); 0 is an empty corridor.
    #[must_use]
    pub fn with_people(seed: u64, people: u32) -> Self {
        Self { seed, people: people.min(super::MAX_PEOPLE) }
    }

    /// All crossings of the line until this scene time, in order.
    #[must_use]
    pub fn crossings(&self, until: Duration) -> Vec<Crossing> {
        let mut crossings: Vec<Crossing> = self
            .slots_before(until.as_secs_f64())
            .flat_map(|slot| self.group(slot))
            .flatten()
            .filter_map(|walker| walker.crossing())
            .filter(|crossing| crossing.time <= until)
            .collect();
        crossings.sort_by_key(|crossing| crossing.time);
        crossings
    }

    /// Everybody who is in the picture at this scene time, from far to near.
    #[must_use]
    pub fn positions(&self, at: Duration) -> Vec<Position> {
        let at = at.as_secs_f64();
        let slots = self.slots_before(at);
        // The slowest walk takes less than this.
        let first = slots.end.saturating_sub((20.0 / self.slot()).ceil() as u64 + 1);
        let mut positions: Vec<Position> = (first..slots.end)
            .flat_map(|slot| self.group(slot))
            .flatten()
            .filter_map(|w| w.position(at))
            .collect();
        positions.sort_by(|a, b| a.y.total_cmp(&b.y));
        positions
    }

    /// Seconds from one group to the next.
    fn slot(&self) -> f64 {
        60.0 / f64::from(self.people.max(1))
    }

    fn slots_before(&self, time: f64) -> std::ops::Range<u64> {
        let slots = ((time - QUIET) / self.slot()).floor() + 1.0;
        0..if self.people == 0 || slots < 0.0 { 0 } else { slots as u64 }
    }

    /// The one or two walkers of a slot.
    fn group(&self, slot: u64) -> [Option<Walker>; 2] {
        let seed = mix(self.seed, slot);
        let random = |n| part(mix(seed, n));
        let mut direction = if random(0) < 0.5 { Direction::In } else { Direction::Out };
        // The first to come crosses, so that a short test has something to see.
        let kind = if slot == 0 { 0.0 } else { random(1) };
        let enters =
            QUIET + slot as f64 * self.slot() + if slot == 0 { 0.0 } else { random(2) * self.slot() * 0.3 };
        let speed = 0.17 + 0.06 * random(3);
        let lane = random(4);
        let one = Walker { enters, speed, direction, turns_at: None, lane, looks: mix(seed, 5) };
        if kind < 0.64 {
            return [Some(one), None];
        }
        if kind < 0.82 {
            // Turns back well before the line, so that no part of the body touches it.
            let turns_at = OUTSIDE + 0.5 - (0.17 + 0.08 * random(6));
            return [Some(Walker { turns_at: Some(turns_at), ..one }), None];
        }
        // A pair, the second in the other half of the corridor.
        let lane = (lane + 0.5) % 1.0;
        let mut second = Walker { lane, looks: mix(seed, 7), ..one };
        if kind < 0.92 {
            // One behind the other, at the same pace.
            second.enters += (0.22 + 0.1 * random(8)) / speed;
        } else {
            // Towards each other: they meet beside the line and not on it.
            direction = if direction == Direction::In { Direction::Out } else { Direction::In };
            second.direction = direction;
            second.enters += (0.3 + 0.15 * random(8)) / speed;
        }
        [Some(one), Some(second)]
    }
}

impl Walker {
    fn crossing(&self) -> Option<Crossing> {
        let direction = self.direction;
        match self.turns_at {
            Some(_) => None,
            None => Some(Crossing {
                time: Duration::from_secs_f64(self.enters + (0.5 + OUTSIDE) / self.speed),
                direction,
            }),
        }
    }

    /// Where the walker is, unless it has not come yet or has gone.
    fn position(&self, at: f64) -> Option<Position> {
        let since = at - self.enters;
        if since < 0.0 {
            return None;
        }
        let walked = since * self.speed;
        let whole = 1.0 + 2.0 * OUTSIDE;
        // How far from where it came, whether it still goes there, and whether it walks at all.
        let (far, onward, walks) = match self.turns_at {
            None => (walked, true, true),
            Some(turn) if walked <= turn => (walked, true, true),
            Some(turn) => {
                let stood = since - turn / self.speed;
                if stood < HESITATION {
                    (turn, stood < HESITATION / 2.0, false)
                } else {
                    (turn - (stood - HESITATION) * self.speed, false, true)
                }
            }
        };
        if !(0.0..=whole).contains(&far) {
            return None;
        }
        let rightward = (self.direction == Direction::In) == onward;
        let x = if self.direction == Direction::In { far - OUTSIDE } else { 1.0 + OUTSIDE - far };
        // Nearer is lower in the picture and larger; people differ by a tenth besides.
        let stature = 0.95 + 0.1 * part(mix(self.looks, 1));
        Some(Position {
            x,
            y: 0.72 + 0.22 * self.lane,
            height: (0.40 + 0.14 * self.lane) * stature,
            facing: if rightward { 1.0 } else { -1.0 },
            gait: far * 6.0,
            walks,
            looks: self.looks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn the_same_seed_gives_the_same_crossings_and_another_seed_others() {
        let first = Timetable::new(7).crossings(HOUR);
        assert_eq!(first, Timetable::new(7).crossings(HOUR));
        assert_ne!(first, Timetable::new(8).crossings(HOUR));
        let half: Vec<_> = first.iter().copied().filter(|c| c.time <= HOUR / 2).collect();
        assert_eq!(Timetable::new(7).crossings(HOUR / 2), half);
    }

    #[test]
    fn the_timetable_of_the_default_seed_stays_as_it_is() {
        let crossings = Timetable::new(super::super::DEFAULT_SEED).crossings(Duration::from_secs(30));
        let text: Vec<_> =
            crossings.iter().map(|c| format!("{:.2} {:?}", c.time.as_secs_f64(), c.direction)).collect();
        assert_eq!(text, PINNED);
    }

    const PINNED: [&str; 4] = ["3.95 In", "10.22 In", "17.89 Out", "29.81 In"];

    /// Whoever is left of the line at one moment and right of it at the next has crossed it.
    #[test]
    fn what_is_drawn_crosses_when_the_timetable_says() {
        let table = Timetable::with_people(3, 12);
        let step = Duration::from_millis(20);
        let (mut seen, mut before) = (Vec::new(), Vec::<Position>::new());
        for n in 0..(5 * 60 * 50) {
            let at = step * n;
            let now = table.positions(at);
            for was in &before {
                if let Some(is) = now.iter().find(|p| p.looks == was.looks) {
                    if was.x < 0.5 && is.x >= 0.5 {
                        seen.push((at, Direction::In));
                    } else if was.x >= 0.5 && is.x < 0.5 {
                        seen.push((at, Direction::Out));
                    }
                }
            }
            before = now;
        }
        let expected = table.crossings(step * (5 * 60 * 50 - 1));
        assert_eq!(seen.len(), expected.len());
        for ((at, direction), crossing) in seen.iter().zip(&expected) {
            assert_eq!(*direction, crossing.direction);
            assert!(at.abs_diff(crossing.time) <= step * 2, "{at:?} {crossing:?}");
        }
    }

    #[test]
    fn the_corridor_is_busy_but_not_crowded_and_both_ways() {
        let table = Timetable::new(5);
        let crossings = table.crossings(HOUR);
        let inward = crossings.iter().filter(|c| c.direction == Direction::In).count();
        assert!((400..800).contains(&crossings.len()), "{}", crossings.len());
        assert!(inward * 3 > crossings.len() && inward * 3 < crossings.len() * 2, "{inward}");
        let counts: Vec<_> = (0..3600).map(|s| table.positions(Duration::from_secs(s)).len()).collect();
        let crowded = counts.iter().filter(|n| **n > 2).count();
        assert!(crowded * 4 < counts.len(), "{crowded}");
        assert!(counts.contains(&0) && counts.contains(&1) && counts.contains(&2));
    }

    #[test]
    fn an_empty_corridor_stays_empty_and_any_time_is_answered() {
        let table = Timetable::with_people(1, 0);
        assert!(table.crossings(HOUR).is_empty() && table.positions(HOUR).is_empty());
        let late = Duration::from_secs(10 * 365 * 24 * 3600);
        assert!(Timetable::new(1).positions(late).len() < 8);
        assert!(Timetable::new(1).positions(Duration::ZERO).is_empty());
    }
}
