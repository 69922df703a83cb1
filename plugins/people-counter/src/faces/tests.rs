use super::{Ask, Pictures, Reply, Step};
use crate::request::Request;
use gantry_serve::Segments;
use serde_json::{Value, json};

const BUDGET: usize = 1 << 20;

fn text(message: &Segments) -> Value {
    let bytes = message.to_bytes();
    let begin = bytes.iter().position(|byte| *byte == b'{').expect("an object");
    serde_json::from_slice(&bytes[begin..]).expect("JSON")
}

fn step(request: &str) -> Step {
    Request::read(request.as_bytes()).expect(request).into()
}

fn answer(ask: &Ask, reply: Reply) -> Value {
    text(&ask.answer(reply, &mut Pictures::default(), BUDGET))
}

#[test]
fn a_face_is_asked_for_and_answered() {
    let Step::Ask(ask) = step(r#"{"type":"get_face","face_id":"3"}"#) else { panic!("it is asked") };
    assert_eq!((ask.service(), ask.request()), ("faces.get", json!({"face_id": 3})));
    let found = json!({"face_id": 3, "time_ms": 1, "filename": "face_3.jpg", "image_data": "/9j/"});
    let image = json!({"type": "face_image", "face_id": 3, "image_data": "/9j/", "filename": "face_3.jpg"});
    assert_eq!(answer(&ask, Ok(found)), image);
    let nobody = json!({"type": "face_image", "face_id": 3, "error": "Face ID not found"});
    assert_eq!(answer(&ask, Ok(json!({"face_id": 3, "missing": "face"}))), nobody);
    let gone = json!({"type": "face_image", "face_id": 3, "error": "Face image file not found"});
    assert_eq!(answer(&ask, Ok(json!({"face_id": 3, "missing": "file"}))), gone);
    assert_eq!(answer(&ask, Ok(json!({"face_id": 3}))), gone);
    let internal = json!({"error": "Internal server error processing request"});
    for broken in [Err("it did not answer in time".to_owned()), Ok(json!({"missing": 7})), Ok(json!(null))] {
        assert_eq!(answer(&ask, broken), internal);
    }
}

#[test]
fn an_id_that_no_face_can_have_is_not_found_without_asking() {
    for id in ["-1", "18446744073709551616", "1e30"] {
        let Step::Say(said) = step(&format!(r#"{{"type":"get_face","face_id":{id}}}"#)) else {
            panic!("{id} is not asked for")
        };
        let said = String::from_utf8_lossy(&said.to_bytes()).into_owned();
        let id = if id == "1e30" { "1000000000000000019884624838656" } else { id };
        assert!(said.ends_with(&format!(r#""face_id":{id},"error":"Face ID not found"}}"#)), "{said}");
    }
}

#[test]
fn all_faces_are_asked_for_and_answered_in_the_runtime_s_order() {
    let Step::Ask(ask) = step(r#"{"type":"get_all_faces","limit":2}"#) else { panic!("it is asked") };
    assert_eq!((ask.service(), ask.request()), ("faces.list", json!({"limit": 2})));
    let face =
        |id| json!({"face_id": id, "time_ms": 1, "filename": format!("face_{id}.jpg"), "image_data": "/9j/"});
    let said = |id| json!({"face_id": id, "filename": format!("face_{id}.jpg"), "image_data": "/9j/"});
    let three = json!({"faces": [face(7), face(9), face(8)]});
    assert_eq!(
        answer(&ask, Ok(three.clone())),
        json!({"type": "all_faces", "faces": [said(7), said(9)]}),
        "and never more than was asked for"
    );
    assert_eq!(answer(&ask, Ok(json!({"faces": []}))), json!({"type": "all_faces", "faces": []}));
    let none = json!({"type": "all_faces", "error": "Face data not available on server"});
    for reply in [Ok(json!({"available": false})), Ok(json!([1])), Err("no such service".to_owned())] {
        assert_eq!(answer(&ask, reply), none);
    }
    let Step::Ask(ask) = step(r#"{"type":"get_all_faces","limit":-3}"#) else { panic!("it is asked") };
    assert_eq!(ask.request(), json!({"limit": 1}));
    assert_eq!(answer(&ask, Ok(three)), json!({"type": "all_faces", "faces": []}));
    assert_eq!(answer(&ask, Ok(json!({"available": false}))), none, "also when none is wanted");
}

#[test]
fn a_picture_that_is_no_base64_never_becomes_part_of_an_answer() {
    let odd = json!({"face_id": 1, "filename": "face_1.jpg", "image_data": "\",\"injected\":\""});
    let gone = json!({"type": "face_image", "face_id": 1, "error": "Face image file not found"});
    assert_eq!(answer(&Ask::Face(1), Ok(odd.clone())), gone);
    let faces = json!({"type": "all_faces", "faces": []});
    assert_eq!(answer(&Ask::Faces(5), Ok(json!({"faces": [odd]}))), faces);
}

#[test]
fn answers_share_a_picture_as_long_as_somebody_is_sent_it_and_keep_none_after_that() {
    let mut pictures = Pictures::default();
    let large = |letter: &str| json!({"filename": "f", "image_data": letter.repeat(40_000)});
    let mut ask = |id, letter| Ask::Face(id).answer(Ok(large(letter)), &mut pictures, BUDGET);
    let pointer = |message: &Segments| message.iter().max_by_key(|piece| piece.len()).unwrap().as_ptr();
    let (one, two, other) = (ask(1, "A"), ask(1, "A"), ask(1, "B"));
    assert_eq!(pointer(&one), pointer(&two));
    assert_ne!(pointer(&one), pointer(&other), "another picture of the same id is another picture");
    for id in 2..1000 {
        drop(ask(id, "A"));
    }
    drop((one, two));
    assert!(pictures.known.len() <= 64, "{} are remembered", pictures.known.len());
    assert!(pictures.known.values().filter(|picture| picture.strong_count() > 0).count() == 1);
}
