//! Non-maximum suppression.

use crate::Detection;

/// The most boxes that are compared.
const MOST: usize = 1000;

/// What lies in a stronger box by this part is a head, legs or the same person again.
const PART: f32 = 0.55;

/// The detections that no stronger one of their class overlaps by more than `overlap` (intersection over union) or contains,
/// strongest first.
pub(super) fn strongest(mut found: Vec<Detection>, overlap: f32) -> Vec<Detection> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(MOST);
    let mut kept: Vec<Detection> = Vec::new();
    for detection in found {
        let is_same =
            |k: &Detection| k.rect.iou(&detection.rect) > overlap || detection.rect.inside(&k.rect) > PART;
        if !kept.iter().any(|k| k.class == detection.class && is_same(k)) {
            kept.push(detection);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Class, Rect};

    #[test]
    fn of_boxes_over_or_in_each_other_the_strongest_stays_and_another_class_does_not_matter() {
        let at = |x: f32, score: f32, class| Detection { rect: Rect::new(x, 0.1, 0.2, 0.5), score, class };
        let found = vec![
            at(0.12, 0.5, Class::Person),
            at(0.1, 0.9, Class::Person),
            at(0.1, 0.3, Class::Face),
            at(0.4, 0.2, Class::Person),
            // A head in the first box.
            Detection { rect: Rect::new(0.15, 0.1, 0.1, 0.1), score: 0.4, class: Class::Person },
        ];
        let scores: Vec<f32> = strongest(found, 0.45).iter().map(|d| d.score).collect();
        assert_eq!(scores, [0.9, 0.3, 0.2]);
    }
}
