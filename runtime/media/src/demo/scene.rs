//! Draws the demo corridor.

use super::draw::{Canvas, Colour, Layout};
use super::font;
use super::timetable::{LINE, Position, Timetable, mix};
use std::time::Duration;

/// How much the picture's noise adds to a pixel's luminance, at most.
const NOISE: u8 = 3;
/// Bytes of noise, from which every row takes its own part.
const NOISE_LEN: usize = 16 * 1024;

/// The corridor in one size and rate. Drawing a frame copies the empty corridor, adds noise, and draws who is there: about
/// 0.05 ms in VGA.
pub struct Scene {
    layout: Layout,
    fps: u32,
    timetable: Timetable,
    seed: u64,
    empty: Vec<u8>,
    noise: Vec<u8>,
}

impl Scene {
    /// A corridor of `width` by `height` pixels at `fps` frames a second.
    #[must_use]
    pub fn new(width: u32, height: u32, fps: u32, seed: u64, people: u32) -> Self {
        let layout = Layout::new(width as usize, height as usize);
        let noise = (0..NOISE_LEN + layout.stride[0])
            .map(|n| (mix(seed ^ 0x6e_6f69_7365, n as u64) % (u64::from(NOISE) + 1)) as u8)
            .collect();
        let timetable = Timetable::with_people(seed, people);
        Self { layout, fps: fps.max(1), timetable, seed, empty: empty_corridor(layout, seed), noise }
    }

    /// Bytes of one picture: I420 in GStreamer's default layout.
    #[must_use]
    pub fn size(&self) -> usize {
        self.layout.size
    }

    /// The timetable that this scene shows.
    #[must_use]
    pub fn timetable(&self) -> &Timetable {
        &self.timetable
    }

    /// The scene's time at a frame.
    #[must_use]
    pub fn time(&self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / f64::from(self.fps))
    }

    /// Draws frame `number` into `picture`, with `clock` beside the number. `picture` must have [`Scene::size`] bytes.
    pub fn render(&self, number: u64, clock: &str, picture: &mut [u8]) {
        let Layout { width, height, stride, offset, .. } = self.layout;
        picture[offset[1]..].copy_from_slice(&self.empty[offset[1]..]);
        for row in 0..height {
            let from = (mix(self.seed ^ number, row as u64) as usize) % NOISE_LEN;
            let (start, noise) = (row * stride[0], &self.noise[from..from + width]);
            let (target, source) = (&mut picture[start..start + width], &self.empty[start..start + width]);
            // The empty corridor leaves room for the noise, so nothing wraps; this way it is done 16 pixels at a time.
            for ((pixel, was), noise) in target.iter_mut().zip(source).zip(noise) {
                *pixel = was.wrapping_add(*noise);
            }
        }
        let mut canvas = Canvas { layout: self.layout, data: picture };
        let people = self.timetable.positions(self.time(number));
        for person in &people {
            shadow(&mut canvas, person);
        }
        for person in &people {
            walker(&mut canvas, person);
        }
        caption(&mut canvas, &format!("{clock} #{number}"));
    }
}

const BLACK: Colour = Colour { y: 16, u: 128, v: 128 };
const WHITE: Colour = Colour { y: 235, u: 128, v: 128 };

fn caption(canvas: &mut Canvas<'_>, text: &str) {
    let scale = (canvas.layout.height / 160).max(1);
    let (width, height) = (text.chars().count() * (font::WIDTH + 1) * scale, font::HEIGHT * scale);
    let margin = 2 * scale;
    let (right, bottom) = ((width + 2 * margin + scale) as f64, (height + 3 * margin) as f64);
    canvas.rectangle(scale as f64, scale as f64, right, bottom, BLACK);
    canvas.text(2 * margin, 2 * margin, scale, text, WHITE);
}

/// The corridor without anybody: a textured wall, a tiled floor, and the frame of the doorway.
fn empty_corridor(layout: Layout, seed: u64) -> Vec<u8> {
    let Layout { width, height, stride, offset, size } = layout;
    let mut data = vec![128; size];
    let horizon = 0.62;
    for row in 0..height {
        let y = row as f64 / height as f64;
        for column in 0..width {
            let x = column as f64 / width as f64;
            let base = if y < horizon {
                // Plaster under a lamp in the middle.
                150.0 - 60.0 * (x - 0.5).abs() - 25.0 * (1.0 - y / horizon)
            } else {
                // Tiles that grow towards the viewer.
                let depth = 1.0 / (y - horizon + 0.12);
                let tile = ((depth * 2.0).floor() + ((x - 0.5) * depth * 1.5 + 50.0).floor()) as i64;
                let light = 112.0 + 30.0 * (y - horizon);
                if tile.rem_euclid(2) == 0 { light } else { light - 14.0 }
            };
            let scale = height.max(160) as f64 / 480.0;
            let texture = grain(seed, x * 640.0 / 9.0, y * 480.0 / 9.0) * 16.0
                + grain(seed ^ 1, x * 320.0 / scale, y * 240.0 / scale) * 8.0;
            data[row * stride[0] + column] =
                (base + texture - 12.0).clamp(24.0, f64::from(230 - NOISE)) as u8;
        }
    }
    for row in 0..layout.chroma_height() {
        let is_wall = (row * 2) as f64 / (height as f64) < horizon;
        let (u, v) = if is_wall { (122, 134) } else { (126, 130) };
        for (plane, value) in [(1, u), (2, v)] {
            data[offset[plane] + row * stride[1]..][..layout.chroma_width()].fill(value);
        }
    }
    let mut canvas = Canvas { layout, data: &mut data };
    let (w, h) = (width as f64, height as f64);
    let line = LINE[0].0 * w;
    let wood = Colour { y: 84, u: 112, v: 142 };
    // The door frame on the wall, and the line on the floor.
    for (left, right) in [(line - 0.11 * w, line - 0.095 * w), (line + 0.095 * w, line + 0.11 * w)] {
        canvas.rectangle(left, 0.16 * h, right, horizon * h, wood);
    }
    canvas.rectangle(line - 0.11 * w, 0.14 * h, line + 0.11 * w, 0.165 * h, wood);
    canvas.rectangle(
        line - 0.095 * w,
        0.165 * h,
        line + 0.095 * w,
        horizon * h,
        Colour { y: 62, u: 126, v: 130 },
    );
    let yellow = Colour { y: 170, u: 70, v: 145 };
    canvas.trapezium((line, horizon * h, 0.003 * w), (line, h, 0.006 * w), yellow, 0);
    data
}

/// Smooth noise between 0 and 1.
fn grain(seed: u64, x: f64, y: f64) -> f64 {
    let at = |x: f64, y: f64| {
        (mix(seed, (x as u64) << 32 | (y as u64 & 0xffff_ffff)) >> 40) as f64 / (1u64 << 24) as f64
    };
    let (x0, y0, fx, fy) = (x.floor(), y.floor(), x.fract(), y.fract());
    let top = at(x0, y0) * (1.0 - fx) + at(x0 + 1.0, y0) * fx;
    let bottom = at(x0, y0 + 1.0) * (1.0 - fx) + at(x0 + 1.0, y0 + 1.0) * fx;
    top * (1.0 - fy) + bottom * fy
}

fn shadow(canvas: &mut Canvas<'_>, person: &Position) {
    let (w, h) = (canvas.layout.width as f64, canvas.layout.height as f64);
    let tall = person.height * h;
    canvas.shadow(person.x * w + 0.06 * tall, person.y * h, (0.20 * tall, 0.035 * tall), 150);
}

fn walker(canvas: &mut Canvas<'_>, person: &Position) {
    let (w, h) = (canvas.layout.width as f64, canvas.layout.height as f64);
    let tall = person.height * h;
    let looks = Looks::of(person.looks);
    let phase = person.gait * std::f64::consts::TAU;
    let swing = if person.walks { phase.sin() } else { 0.0 };
    // The body rises and falls twice in a double step.
    let bob = if person.walks { 0.012 * tall * (2.0 * phase).cos() } else { 0.0 };
    let (x, feet) = (person.x * w, person.y * h);
    let wide = looks.build * tall;
    let (hip, shoulder) = (feet - 0.47 * tall + bob, feet - 0.82 * tall + bob);
    let leg = |canvas: &mut Canvas<'_>, swing: f64, colour: Colour| {
        let foot = x + swing * 0.16 * tall;
        canvas.trapezium((x, hip, 0.40 * wide), (foot, feet - 0.02 * tall, 0.24 * wide), colour, 14);
        let toe = foot + person.facing * 0.03 * tall;
        canvas.ellipse(toe, feet - 0.02 * tall, (0.055 * tall, 0.022 * tall), looks.shoes, 0);
    };
    let arm = |canvas: &mut Canvas<'_>, swing: f64, colour: Colour| {
        let (hand, down) = (x + swing * 0.13 * tall, feet - 0.45 * tall + bob);
        canvas.trapezium((x, shoulder + 0.03 * tall, 0.20 * wide), (hand, down, 0.15 * wide), colour, 8);
        canvas.ellipse(hand, down, (0.022 * tall, 0.026 * tall), looks.skin, 0);
    };
    // From the far side of the body to the near one.
    arm(canvas, swing * person.facing, darker(looks.shirt));
    leg(canvas, -swing * person.facing, darker(looks.trousers));
    leg(canvas, swing * person.facing, looks.trousers);
    canvas.trapezium((x, shoulder, 0.56 * wide), (x, hip + 0.03 * tall, 0.46 * wide), looks.shirt, 22);
    canvas.ellipse(x, shoulder + 0.01 * tall, (0.56 * wide, 0.035 * tall), looks.shirt, 22);
    arm(canvas, -swing * person.facing, looks.shirt);
    let (neck, head) = (shoulder - 0.03 * tall, feet - 0.92 * tall + bob);
    canvas.trapezium((x, neck - 0.02 * tall, 0.035 * tall), (x, shoulder, 0.04 * tall), looks.skin, 0);
    canvas.ellipse(x, head, (0.062 * tall, 0.08 * tall), looks.hair, 0);
    let face = x + person.facing * 0.018 * tall;
    canvas.ellipse(face, head + 0.015 * tall, (0.048 * tall, 0.062 * tall), looks.skin, 16);
}

fn darker(colour: Colour) -> Colour {
    Colour { y: (u16::from(colour.y) * 3 / 4) as u8, ..colour }
}

struct Looks {
    build: f64,
    shirt: Colour,
    trousers: Colour,
    shoes: Colour,
    skin: Colour,
    hair: Colour,
}

impl Looks {
    /// Clothes stand out from the corridor, which is middle grey, either way.
    fn of(looks: u64) -> Self {
        const SHIRTS: [Colour; 6] = [
            Colour { y: 205, u: 120, v: 130 },
            Colour { y: 52, u: 170, v: 110 },
            Colour { y: 66, u: 104, v: 200 },
            Colour { y: 48, u: 128, v: 128 },
            Colour { y: 60, u: 100, v: 96 },
            Colour { y: 200, u: 60, v: 148 },
        ];
        const TROUSERS: [Colour; 4] = [
            Colour { y: 40, u: 140, v: 120 },
            Colour { y: 56, u: 120, v: 134 },
            Colour { y: 34, u: 128, v: 128 },
            Colour { y: 190, u: 118, v: 134 },
        ];
        const SKIN: [Colour; 3] = [
            Colour { y: 176, u: 108, v: 152 },
            Colour { y: 130, u: 106, v: 156 },
            Colour { y: 84, u: 112, v: 148 },
        ];
        const HAIR: [Colour; 3] = [
            Colour { y: 30, u: 126, v: 132 },
            Colour { y: 64, u: 108, v: 146 },
            Colour { y: 168, u: 90, v: 138 },
        ];
        let pick = |n: u64, len: usize| (mix(looks, 16 + n) % len as u64) as usize;
        Self {
            build: 0.15 + 0.04 * (mix(looks, 2) % 100) as f64 / 100.0,
            shirt: SHIRTS[pick(0, SHIRTS.len())],
            trousers: TROUSERS[pick(1, TROUSERS.len())],
            shoes: Colour { y: 28, u: 128, v: 128 },
            skin: SKIN[pick(2, SKIN.len())],
            hair: HAIR[pick(3, HAIR.len())],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_drawn_at_every_moment() {
        for (width, height) in [(16, 16), (17, 33), (640, 480), (90, 1280)] {
            let scene = Scene::new(width, height, 10, 1, 30);
            let mut picture = vec![0; scene.size()];
            for number in (0..3000).step_by(37) {
                scene.render(number, "12:34:56", &mut picture);
            }
        }
    }

    #[test]
    fn a_frame_depends_on_its_number_alone() {
        let scene = Scene::new(64, 48, 30, 7, 12);
        let (mut one, mut two) = (vec![0; scene.size()], vec![1; scene.size()]);
        scene.render(200, "00:00:00", &mut one);
        scene.render(999, "00:00:00", &mut two);
        assert_ne!(one, two);
        scene.render(200, "00:00:00", &mut two);
        // Rows may be padded with what was there before.
        assert_eq!(one[..64 * 48], two[..64 * 48]);
    }

    #[test]
    fn who_walks_stands_out_from_the_empty_corridor() {
        let (busy, empty) = (Scene::new(320, 240, 30, 1, 12), Scene::new(320, 240, 30, 1, 0));
        let crossing = busy.timetable().crossings(Duration::from_secs(60))[0];
        let number = (crossing.time.as_secs_f64() * 30.0) as u64;
        let (mut with, mut without) = (vec![0; busy.size()], vec![0; busy.size()]);
        busy.render(number, "", &mut with);
        empty.render(number, "", &mut without);
        let (mut changed, mut sum) = (0.0, 0.0);
        for (at, _) in
            with[..320 * 240].iter().zip(&without).enumerate().filter(|(_, (a, b))| a.abs_diff(**b) > 25)
        {
            changed += 1.0;
            sum += (at % 320) as f64 / 320.0;
        }
        assert!(changed > 900.0 && changed < 15_000.0, "{changed}");
        assert!((sum / changed - 0.5).abs() < 0.05, "the walker is at {}", sum / changed);
    }
}
