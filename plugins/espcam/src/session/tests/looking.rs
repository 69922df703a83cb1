//! A detector before the store: it may fail and be slow, and no picture is lost by it.

use super::*;
use serde_json::{Value, json};

fn rig(limits: Limits) -> Rig {
    Rig::of(Config { analysis: Some("people".into()), limits, ..Config::default() })
}

impl Rig {
    /// The detector answers for the picture that waits longest.
    fn look(&mut self, seen: Result<Value, String>) -> Vec<Vec<u8>> {
        let (token, picture) = self.looking.remove(0);
        drop(picture);
        let mut effects = Vec::new();
        self.session.looked(self.moment(), token, seen, &mut effects);
        self.take(effects)
    }

    fn analysis(&self, at: usize) -> Value {
        self.waiting[at].1.record()["data"]["analysis"].clone()
    }
}

fn somebody() -> Result<Value, String> {
    Ok(json!({"objects": [{"class": "person", "score": 0.9, "box": [0, 0, 1, 1]}], "duration_ms": 20.0}))
}

#[test]
fn a_picture_is_looked_at_before_it_is_stored_and_acknowledged_after() {
    let mut rig = rig(Limits::default());
    rig.begin(7);
    assert_eq!(rig.data(7, 2, &PICTURE[10..]), None);
    assert_eq!((rig.looking.len(), rig.waiting.len()), (1, 0));
    assert_eq!(rig.looking[0].1.bytes, PICTURE);
    assert_eq!(rig.data(7, 2, &PICTURE[10..]), None, "it is not stored yet");
    assert_eq!(rig.end(7, 3), None);
    assert!(rig.look(somebody()).is_empty());
    assert_eq!(
        (rig.analysis(0)["people"].clone(), rig.analysis(0)["detector"].clone()),
        (json!(1), json!("people"))
    );
    assert_eq!(rig.keep(), [vec![1, 7, 2, 2, 0, 0, 0, 0, 2], vec![1, 7, 3, 0]]);
    assert_eq!(rig.published[0].1.message("r")["people"], json!(1));
    assert_eq!((rig.session.figures().looked, rig.session.figures().completed), (1, 1));
    rig.forget();
}

#[test]
fn a_picture_that_could_not_be_looked_at_is_stored_with_the_reason() {
    let mut rig = rig(Limits::default());
    rig.begin(7);
    rig.data(7, 2, &PICTURE[10..]);
    rig.look(Err("the model is broken: export it again".into()));
    assert_eq!(
        rig.analysis(0),
        json!({"detector": "people", "error": "the model is broken: export it again"})
    );
    assert_eq!(rig.keep().len(), 1);
    assert_eq!((rig.session.figures().looked, rig.session.figures().unlooked), (0, 1));
    rig.forget();
}

#[test]
fn a_detector_that_does_not_answer_holds_a_picture_up_for_a_moment_only() {
    let mut rig = rig(Limits::default());
    rig.begin(7);
    rig.data(7, 2, &PICTURE[10..]);
    rig.pass(1900);
    assert!(rig.waiting.is_empty());
    rig.pass(200);
    let error = rig.analysis(0)["error"].to_string();
    assert!(error.starts_with("\"too late: the detector had not answered within 2000 ms: "), "{error}");
    assert_eq!(rig.keep(), [vec![1, 7, 2, 2, 0, 0, 0, 0, 2]]);
    // What it says after that is of no use to anybody.
    assert!(rig.look(somebody()).is_empty() && rig.waiting.is_empty());
    assert_eq!((rig.session.figures().looked, rig.session.figures().unlooked), (0, 1));
    rig.forget();
}

#[test]
fn when_many_pictures_come_at_once_some_are_stored_without_and_none_is_lost() {
    let mut rig = rig(Limits { analyses: 3, ..Limits::default() });
    for device in 0..10 {
        rig.begin(device);
        rig.data(device, 2, &PICTURE[10..]);
    }
    assert_eq!((rig.looking.len(), rig.waiting.len()), (3, 7));
    let error = rig.analysis(6)["error"].to_string();
    assert!(
        error.starts_with("\"skipped: 3 pictures of 36 bytes are before the detector already, "),
        "{error}"
    );
    for _ in 0..3 {
        rig.look(somebody());
    }
    for _ in 0..10 {
        assert_eq!(rig.keep().len(), 1);
    }
    assert_eq!((rig.session.figures().looked, rig.session.figures().unlooked), (3, 7));
    // And there is room again.
    rig.begin(20);
    rig.data(20, 2, &PICTURE[10..]);
    assert_eq!(rig.looking.len(), 1);
    rig.look(somebody());
    rig.keep();
    rig.forget();
}

#[test]
fn a_device_that_sends_its_next_picture_meanwhile_loses_neither() {
    let mut rig = rig(Limits::default());
    rig.begin(7);
    rig.data(7, 2, &PICTURE[10..]);
    rig.now += Duration::from_secs(3);
    rig.begin(7);
    rig.data(7, 2, &PICTURE[10..]);
    assert_eq!(rig.looking.len(), 2);
    rig.look(somebody());
    rig.look(Err("no".into()));
    assert!(rig.keep().is_empty(), "nothing is said of the first, it would be taken for the second");
    assert_eq!(rig.keep().len(), 1);
    assert_eq!(rig.session.figures().completed, 2);
    rig.forget();
}

#[test]
fn what_the_store_refuses_is_not_looked_at_again() {
    let mut rig = rig(Limits::default());
    rig.begin(7);
    rig.data(7, 2, &PICTURE[10..]);
    rig.look(somebody());
    assert_eq!(rig.refuse().len(), 1);
    rig.pass(1500);
    assert_eq!((rig.looking.len(), rig.waiting.len()), (0, 1));
    assert_eq!(rig.analysis(0)["people"], json!(1));
    rig.keep();
    rig.forget();
}
