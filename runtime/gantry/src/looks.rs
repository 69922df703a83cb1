//! The service `pictures.look`: single pictures before the configured detectors.

use bytes::Bytes;
use gantry_analysis::{Class, Detection, Looked, Looks, LooksStatus};
use gantry_core::Runtime;
use gantry_core::services::{Caller, Reply, ServiceError};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How long a picture may wait, when nothing is said, and at most, in milliseconds.
const WITHIN_MS: u64 = 10_000;
const MOST_MS: u64 = 60_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Look {
    detector: String,
    #[serde(default)]
    within_ms: Option<u64>,
}

/// A number that is worth being read: so many decimals.
fn rounded(value: f32, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (f64::from(value) * scale).round() / scale
}

fn object(seen: &Detection) -> Value {
    let class = match seen.class {
        Class::Person => "person",
        Class::Face => "face",
    };
    let rect = [seen.rect.x, seen.rect.y, seen.rect.w, seen.rect.h].map(|part| rounded(part, 4));
    json!({ "class": class, "score": rounded(seen.score, 3), "box": rect })
}

fn told(looked: &Looked) -> Value {
    let objects: Vec<Value> = looked.objects.iter().map(object).collect();
    json!({
        "objects": objects, "width": looked.width, "height": looked.height,
        "duration_ms": rounded(looked.took.as_secs_f32() * 1e3, 1),
    })
}

/// Offers `pictures.look`.
pub(crate) fn offer(runtime: &Runtime, looks: &Arc<Looks>) {
    let looks = looks.clone();
    let handler = move |_: &Caller, request: Value, mut blobs: Vec<Bytes>, reply: Reply| {
        let fail = |message: String| Err(ServiceError(format!("pictures.look: {message}")));
        let look: Look = match serde_path_to_error::deserialize(request) {
            Ok(look) => look,
            Err(error) => {
                let path = error.path().to_string();
                return reply(fail(format!("{path}: {}: correct the request", error.into_inner())));
            }
        };
        let (Some(jpeg), true) = (blobs.pop(), blobs.is_empty()) else {
            return reply(fail("it takes one JPEG: send it as the only blob".to_owned()));
        };
        let within = Duration::from_millis(look.within_ms.unwrap_or(WITHIN_MS).min(MOST_MS));
        let answer = move |looked: Result<Looked, String>| {
            reply(looked.as_ref().map(told).or_else(|error| fail(error.clone())));
        };
        looks.look(&look.detector, jpeg, within, Box::new(answer));
    };
    runtime.services.offer_with_blobs("pictures.look", Arc::new(handler));
}

/// Takes over what a detector has counted.
pub(crate) fn measure(status: &LooksStatus) {
    let counted = [("looked", status.looked), ("failed", status.failed), ("refused", status.refused)];
    for (result, count) in counted {
        let labels = [("detector", status.detector.clone()), ("result", result.to_owned())];
        metrics::counter!("gantry_looks_total", &labels).absolute(count);
    }
    let detector = status.detector.clone();
    metrics::gauge!("gantry_looks_busy_seconds", "detector" => detector).set(status.busy.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_core::services::Caller;
    use std::sync::mpsc::channel;

    fn asked(request: Value, blobs: Vec<Bytes>) -> String {
        let runtime = Runtime::default();
        offer(&runtime, &Arc::new(Looks::new(runtime.clone())));
        let (tell, told) = channel();
        let reply: Reply = Box::new(move |answer| _ = tell.send(answer));
        let caller = Caller { plugin: "door".into() };
        runtime.services.call(&caller, "pictures.look", request, blobs, reply).expect("it is offered");
        told.recv().expect("an answer").expect_err("nothing is configured").to_string()
    }

    #[test]
    fn a_request_that_makes_no_sense_is_told_what_it_takes() {
        let jpeg = || vec![Bytes::from_static(b"\xff\xd8")];
        assert_eq!(
            asked(json!({"detector": "door"}), vec![]),
            "pictures.look: it takes one JPEG: send it as the only blob"
        );
        assert!(asked(json!({"detector": "door"}), [jpeg(), jpeg()].concat()).contains("one JPEG"));
        assert!(asked(json!({"detektor": "door"}), jpeg()).contains("correct the request"));
        assert_eq!(
            asked(json!({"detector": "door", "within_ms": 5}), jpeg()),
            "pictures.look: there is no detector `door`: configure [detectors.door] with a model"
        );
    }

    #[test]
    fn what_was_seen_is_told_in_numbers_that_can_be_read() {
        let rect = gantry_vision::Rect::new(0.123_456, 0.2, 0.333_333, 0.5);
        let objects = vec![Detection { rect, score: 0.934_56, class: Class::Person }];
        let looked = Looked { objects, width: 800, height: 600, took: Duration::from_micros(16_437) };
        assert_eq!(
            told(&looked),
            json!({"objects": [{"class": "person", "score": 0.935, "box": [0.1235, 0.2, 0.3333, 0.5]}],
                "width": 800, "height": 600, "duration_ms": 16.4})
        );
    }
}
