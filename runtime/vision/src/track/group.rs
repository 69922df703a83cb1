//! Several people in one silhouette: whose are its sides?

use super::{Axis, Sight, Track, sizes};
use crate::Rect;

/// Takes what the box around several tracks tells of each: the outermost on each side is where that side is, and keeps the
/// size it had. The others go on as they went, but inside.
pub(super) fn observe(members: &mut [&mut Track], around: Rect, t: f64) {
    let before: Vec<Rect> = members.iter().map(|m| m.rect()).collect();
    let outermost = |key: &dyn Fn(&Rect) -> f32| {
        (0..before.len()).min_by(|a, b| key(&before[*a]).total_cmp(&key(&before[*b])))
    };
    let left = outermost(&|r| r.x);
    let right = outermost(&|r| -r.right());
    let top = outermost(&|r| r.y);
    let bottom = outermost(&|r| -r.bottom());
    for (n, member) in members.iter_mut().enumerate() {
        let (w, h) = (member.w.min(around.w), member.h.min(around.h));
        let (sx, sy) = sizes(w, h);
        side(
            &mut member.x,
            (left == Some(n)).then_some(around.x + w / 2.0),
            (right == Some(n)).then_some(around.right() - w / 2.0),
            (around.x + w / 2.0, around.right() - w / 2.0),
            0.25 * sx,
        );
        side(
            &mut member.y,
            (top == Some(n)).then_some(around.y + h / 2.0),
            (bottom == Some(n)).then_some(around.bottom() - h / 2.0),
            (around.y + h / 2.0, around.bottom() - h / 2.0),
            0.25 * sy,
        );
        member.sight = Sight::Merged;
        member.last_seen = t;
    }
}

fn side(axis: &mut Axis, low: Option<f32>, high: Option<f32>, (least, most): (f32, f32), sigma: f32) {
    let seen = match (low, high) {
        (Some(low), Some(high)) => Some((low + high) / 2.0),
        (one, other) => one.or(other),
    };
    if let Some(seen) = seen {
        axis.observe(seen, sigma);
    } else if axis.place < least || axis.place > most {
        axis.observe(axis.place.clamp(least, most.max(least)), sigma);
    }
}
