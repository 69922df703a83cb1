//! Counts people in raw pictures from standard input, and prints crossings as JSON lines.
//!
//! ```text
//! gst-launch-1.0 -q filesrc location=FILE ! decodebin ! videoconvertscale add-borders=false \
//!   ! video/x-raw,format=GRAY8,width=320,height=240 ! fdsink \
//!   | cargo run --release -p gantry-vision --example count -- --width 320 --height 240 --fps 10 --line 0.8,0,0.8,1
//! ```
//!
//! `--line x1,y1,x2,y2` and `--zone x1,y1,x2,y2,x3,y3,…` may be repeated, `--format rgb` or `i420` reads colours instead of grey,
//! `--skip N` takes every Nth picture, `--tracks` prints every track of every picture, and `--threshold`, `--area`, `--person TOP,BOTTOM,ASPECT` set the detector.

use gantry_vision::{
    Counter, Detector, Frame, Line, Motion, MotionSettings, PersonSize, Point, Rect, TrackerSettings, Zone,
};
use std::io::Read;
use std::time::{Duration, Instant};

enum Pixel {
    Grey,
    Rgb,
    I420,
}

fn numbers(text: &str) -> Result<Vec<f32>, std::num::ParseFloatError> {
    text.split(',').map(|n| n.trim().parse()).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut width, mut height, mut fps, mut skip, mut pixel) =
        (320usize, 240usize, 10.0f64, 1usize, Pixel::Grey);
    let (mut lines, mut zones, mut tracks) = (Vec::new(), Vec::new(), false);
    let mut settings = MotionSettings::default();
    let mut tracking = TrackerSettings::default();
    let (mut model, mut family) = (None, String::from("fastestdet"));
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        if name == "--tracks" {
            tracks = true;
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--width" => width = value.parse()?,
            "--height" => height = value.parse()?,
            "--fps" => fps = value.parse()?,
            "--skip" => skip = value.parse::<usize>()?.max(1),
            "--format" => {
                pixel = match value.as_str() {
                    "grey" => Pixel::Grey,
                    "rgb" => Pixel::Rgb,
                    "i420" => Pixel::I420,
                    _ => return Err(format!("unknown format {value}").into()),
                }
            }
            "--line" => match numbers(&value)?[..] {
                [a, b, c, d] => {
                    lines.push(Line::new(
                        format!("line{}", lines.len()),
                        Point::new(a, b),
                        Point::new(c, d),
                    )?);
                }
                _ => return Err("--line needs x1,y1,x2,y2".into()),
            },
            "--zone" => {
                let corners = numbers(&value)?.chunks_exact(2).map(|p| Point::new(p[0], p[1])).collect();
                zones.push(Zone::new(format!("zone{}", zones.len()), corners)?);
            }
            "--threshold" => settings.threshold = value.parse()?,
            "--area" => settings.least_area = value.parse()?,
            "--absorb" => settings.absorb_s = value.parse()?,
            "--shadows" => settings.shadows = value.parse()?,
            "--patience" => tracking.patience_s = value.parse()?,
            "--confirm" => tracking.confirm_s = value.parse()?,
            "--person" => match numbers(&value)?[..] {
                [top, bottom, aspect] => {
                    settings.person = Some(PersonSize { top, bottom, aspect });
                }
                _ => return Err("--person needs TOP,BOTTOM,ASPECT".into()),
            },
            "--model" => model = Some(value),
            "--family" => family = value,
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    let detector: Box<dyn Detector> = match model {
        None => Box::new(Motion::new(settings)),
        Some(path) => onnx(&path, &family)?,
    };
    let mut counter = Counter::new(detector, tracking, lines, zones)?;
    let (area, half) = (width * height, (width.div_ceil(2), height.div_ceil(2)));
    let colour = half.0 * half.1;
    let mut bytes = vec![
        0;
        match pixel {
            Pixel::Grey => area,
            Pixel::Rgb => 3 * area,
            Pixel::I420 => area + 2 * colour,
        }
    ];
    let (mut input, mut number, mut steps) = (std::io::stdin().lock(), 0usize, 0u32);
    let (mut spent, mut most) = (Duration::ZERO, Duration::ZERO);
    while input.read_exact(&mut bytes).is_ok() {
        let t = number as f64 / fps;
        number += 1;
        if !(number - 1).is_multiple_of(skip) {
            continue;
        }
        let frame = match pixel {
            Pixel::Rgb => Frame::rgb(&bytes, width, height, 3 * width)?,
            Pixel::Grey => Frame::grey(&bytes, width, height, width)?,
            Pixel::I420 => {
                let (y, colours) = bytes.split_at(area);
                let (u, v) = colours.split_at(colour);
                Frame::i420([y, u, v], width, height, [width, half.0])?
            }
        };
        let begun = Instant::now();
        let events = counter.step(&frame, t)?;
        let took = begun.elapsed();
        spent += took;
        most = most.max(took);
        steps += 1;
        for event in events {
            println!("{}", serde_json::to_string(&event)?);
        }
        if tracks {
            for track in counter.tracks() {
                let Rect { x, y, w, h } = track.rect();
                println!(
                    "{}",
                    serde_json::json!({"track": {"t_s": t, "id": track.id, "box": [x, y, w, h],
                        "confirmed": track.confirmed, "sight": track.sight}})
                );
            }
        }
    }
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    println!(
        "{}",
        serde_json::json!({"frames": steps, "ms_per_frame": ms(spent) / f64::from(steps.max(1)), "most_ms": ms(most)})
    );
    Ok(())
}

#[cfg(feature = "onnx")]
fn onnx(path: &str, family: &str) -> Result<Box<dyn Detector>, Box<dyn std::error::Error>> {
    let settings = gantry_vision::OnnxSettings { family: family.parse()?, ..Default::default() };
    Ok(Box::new(gantry_vision::Onnx::load(std::path::Path::new(path), settings)?))
}

#[cfg(not(feature = "onnx"))]
fn onnx(_: &str, _: &str) -> Result<Box<dyn Detector>, Box<dyn std::error::Error>> {
    Err("built without the feature `onnx`".into())
}
