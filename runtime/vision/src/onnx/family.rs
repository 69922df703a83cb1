//! What the outputs of the known kinds of models mean.

use super::{OnnxSettings, input, prepare::Input};
use crate::{Class, Detection, Point, Rect};

/// A kind of model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// FastestDet: one map of objectness, box and classes per cell.
    FastestDet,
    /// YOLOX as its own tool exports it: one row per cell of three grids, not yet decoded.
    YoloX,
    /// YOLOv8 and what has its output: one column per candidate, in pixels of the input.
    YoloV8,
    /// Ultra-Light-Fast face detectors: scores and boxes.
    UltraFace,
}

impl std::str::FromStr for Family {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::FastestDet, Self::YoloX, Self::YoloV8, Self::UltraFace]
            .into_iter()
            .find(|family| family.name() == text)
            .ok_or_else(|| {
                format!("no model family is named {text:?}: take fastestdet, yolox, yolov8 or ultraface")
            })
    }
}

/// One output of a model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output<'a> {
    pub(super) shape: &'a [usize],
    pub(super) values: &'a [f32],
}

impl Family {
    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FastestDet => "fastestdet",
            Self::YoloX => "yolox",
            Self::YoloV8 => "yolov8",
            Self::UltraFace => "ultraface",
        }
    }

    /// What it finds.
    #[must_use]
    pub fn class(self) -> Class {
        if self == Self::UltraFace { Class::Face } else { Class::Person }
    }

    pub(super) fn input(self) -> Input {
        match self {
            Self::FastestDet => input(true, 0.0, 1.0 / 255.0, None),
            Self::YoloX => input(true, 0.0, 1.0, Some(false)),
            Self::YoloV8 => input(false, 0.0, 1.0 / 255.0, Some(true)),
            Self::UltraFace => input(false, 127.0, 1.0 / 128.0, None),
        }
    }

    /// The detections in the outputs, in parts of the model's input, before suppression. An error tells what is not as it
    /// should be.
    pub(super) fn read(
        self,
        outputs: &[Output<'_>],
        size: (usize, usize),
        settings: &OnnxSettings,
    ) -> Result<Vec<Detection>, String> {
        let mut found = Vec::new();
        let mut add = |centre: Point, w: f32, h: f32, score: f32| {
            if score >= settings.least_score {
                found.push(Detection { rect: Rect::around(centre, w, h), score, class: self.class() });
            }
        };
        let is_person = |best: usize| best == settings.person_class;
        let classes = |count: usize| {
            let name = settings.person_class;
            if name < count {
                Ok(())
            } else {
                Err(format!("it has {count} classes, and none is number {name}"))
            }
        };
        match (self, outputs) {
            (Self::FastestDet, [Output { shape: [1, channels, rows, columns], values }]) if *channels > 5 => {
                classes(channels - 5)?;
                let cells = rows * columns;
                for cell in 0..cells {
                    let channel = |c: usize| values[c * cells + cell];
                    let (class, score) = best((5..*channels).map(channel));
                    if is_person(class) {
                        let (column, row) = ((cell % columns) as f32, (cell / columns) as f32);
                        let centre = Point::new(
                            (column + channel(1).tanh()) / *columns as f32,
                            (row + channel(2).tanh()) / *rows as f32,
                        );
                        let score = channel(0).max(0.0).powf(0.6) * score.max(0.0).powf(0.4);
                        add(centre, sigmoid(channel(3)), sigmoid(channel(4)), score);
                    }
                }
            }
            (Self::YoloX, [Output { shape: [1, count, channels], values }]) if *channels > 5 => {
                classes(channels - 5)?;
                let (width, height) = size;
                let grids: Vec<(usize, usize, usize)> =
                    [8, 16, 32].iter().map(|stride| (*stride, width / stride, height / stride)).collect();
                let cells: usize = grids.iter().map(|(_, columns, rows)| columns * rows).sum();
                if cells != *count {
                    return Err(format!(
                        "it gives {count} boxes for {width}x{height} pixels instead of {cells}"
                    ));
                }
                let places = grids.iter().flat_map(|(stride, columns, rows)| {
                    (0..columns * rows)
                        .map(move |n| (*stride as f32, (n % columns) as f32, (n / columns) as f32))
                });
                for (row, (stride, x, y)) in values.chunks_exact(*channels).zip(places) {
                    let (class, score) = best(row[5..].iter().copied());
                    if is_person(class) {
                        let (w, h) = (stride / width as f32, stride / height as f32);
                        let centre = Point::new((row[0] + x) * w, (row[1] + y) * h);
                        add(centre, row[2].exp() * w, row[3].exp() * h, row[4] * score);
                    }
                }
            }
            (Self::YoloV8, [Output { shape: [1, channels, count], values }]) if *channels > 4 => {
                classes(channels - 4)?;
                let (width, height) = (size.0 as f32, size.1 as f32);
                for n in 0..*count {
                    let channel = |c: usize| values[c * count + n];
                    let (class, score) = best((4..*channels).map(channel));
                    if is_person(class) {
                        let centre = Point::new(channel(0) / width, channel(1) / height);
                        add(centre, channel(2) / width, channel(3) / height, score);
                    }
                }
            }
            (
                Self::UltraFace,
                [Output { shape: [1, count, 2], values: scores }, Output { shape: [1, boxes, 4], values }],
            ) if count == boxes => {
                for (score, at) in scores.chunks_exact(2).zip(values.chunks_exact(4)) {
                    let rect = Rect::between(at[0], at[1], at[2], at[3]);
                    add(rect.centre(), rect.w, rect.h, score[1]);
                }
            }
            (_, outputs) => {
                let shapes: Vec<_> = outputs.iter().map(|output| output.shape).collect();
                return Err(format!("it gives {shapes:?} instead of {}", self.shape()));
            }
        }
        Ok(found)
    }

    fn shape(self) -> &'static str {
        match self {
            Self::FastestDet => "[1, 5 + classes, rows, columns]",
            Self::YoloX => "[1, boxes, 5 + classes]",
            Self::YoloV8 => "[1, 4 + classes, boxes]",
            Self::UltraFace => "[1, boxes, 2] and [1, boxes, 4]",
        }
    }
}

/// The highest value and its place.
fn best(values: impl Iterator<Item = f32>) -> (usize, f32) {
    values.enumerate().fold((0, f32::NEG_INFINITY), |best, (n, v)| if v > best.1 { (n, v) } else { best })
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        family: Family,
        size: (usize, usize),
        outputs: &[(&[usize], Vec<f32>)],
    ) -> Result<Vec<Detection>, String> {
        let outputs: Vec<Output<'_>> =
            outputs.iter().map(|(shape, values)| Output { shape, values }).collect();
        family.read(&outputs, size, &OnnxSettings { family, ..Default::default() })
    }

    #[test]
    fn each_family_reads_its_own_output() {
        // One person in the middle of the upper left cell of 2x2.
        let mut map = vec![0.0; 6 * 4];
        (map[0], map[5 * 4]) = (0.8, 0.8);
        (map[4], map[8]) = (0.5f32.atanh(), 0.5f32.atanh());
        let found = read(Family::FastestDet, (64, 64), &[(&[1, 6, 2, 2], map)]).unwrap();
        assert_eq!(found.len(), 1);
        assert!((found[0].rect.centre().x - 0.25).abs() < 1e-6 && (found[0].rect.w - 0.5).abs() < 1e-6);
        assert!((found[0].score - 0.8).abs() < 1e-6);

        // 32x32 pixels: grids of 16, 4 and 1 cells; the last one is the largest.
        let mut rows = vec![0.0; 21 * 6];
        rows[20 * 6..].copy_from_slice(&[0.5, 0.5, 0.0, 0.0, 0.9, 1.0]);
        let found = read(Family::YoloX, (32, 32), &[(&[1, 21, 6], rows)]).unwrap();
        assert_eq!((found.len(), found[0].rect), (1, Rect::new(0.0, 0.0, 1.0, 1.0)));

        let found =
            read(Family::YoloV8, (100, 200), &[(&[1, 5, 1], vec![50.0, 100.0, 10.0, 20.0, 0.7])]).unwrap();
        assert_eq!(found[0].rect, Rect::around(Point::new(0.5, 0.5), 0.1, 0.1));

        let outputs: [(&[usize], Vec<f32>); 2] = [
            (&[1, 2, 2], vec![0.9, 0.1, 0.2, 0.8]),
            (&[1, 2, 4], vec![0.0, 0.0, 0.1, 0.1, 0.2, 0.2, 0.4, 0.6]),
        ];
        let found = read(Family::UltraFace, (320, 240), &outputs).unwrap();
        assert_eq!((found.len(), found[0].class, found[0].score), (1, Class::Face, 0.8));
    }

    #[test]
    fn an_output_of_another_family_is_told_in_words() {
        let error =
            read(Family::UltraFace, (32, 32), &[(&[1, 85, 22, 22], vec![0.0; 85 * 22 * 22])]).unwrap_err();
        assert_eq!(error, "it gives [[1, 85, 22, 22]] instead of [1, boxes, 2] and [1, boxes, 4]");
        let error = read(Family::YoloX, (64, 64), &[(&[1, 7, 6], vec![0.0; 42])]).unwrap_err();
        assert_eq!(error, "it gives 7 boxes for 64x64 pixels instead of 84");
    }
}
