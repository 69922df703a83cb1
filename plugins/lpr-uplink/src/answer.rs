//! What the upstream says about a record: taken, refused for good, or not now.

use serde::Deserialize;
use serde_json::value::RawValue;

/// Of what the upstream writes, so many characters are shown.
const SHOWN: usize = 160;

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It has it.
    Taken,
    /// It will not have it.
    Refused(String),
    /// It cannot have it now.
    Failed(String),
    /// There is nobody who could have it: no such path, or not with this method.
    Absent(String),
}

/// The fields of an answer that mean something. The others are read over.
#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow, default)]
    success: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    camera_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    checkpoint_id: Option<&'a RawValue>,
}

/// An answer as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// What it says, when it says that.
    pub success: Option<bool>,
    /// What it says besides; the upstream's words, see [`words`].
    pub message: String,
    /// The camera that it names.
    pub camera: Option<String>,
    /// Its checkpoint.
    pub checkpoint: Option<String>,
}

impl Answer {
    /// Reads one; `None`: no JSON object.
    #[must_use]
    pub fn read(json: &str) -> Option<Self> {
        // A list could stand for the fields in their order, and is none.
        json.trim_ascii_start().starts_with('{').then_some(())?;
        let payload: Payload<'_> = serde_json::from_str(json).ok()?;
        let success = payload.success.and_then(|value| serde_json::from_str(value.get()).ok());
        let message = [payload.message, payload.error].into_iter().flatten().map(text).next();
        Some(Self {
            success,
            message: words(&message.unwrap_or_default()),
            camera: payload.camera_id.and_then(id),
            checkpoint: payload.checkpoint_id.and_then(id),
        })
    }

    /// Whether it may be about this camera: it is, or it names none.
    #[must_use]
    pub fn fits(&self, camera: &str, checkpoint: &str) -> bool {
        let same = |said: &Option<String>, id: &str| said.as_deref().is_none_or(|said| said == id);
        same(&self.camera, camera) && same(&self.checkpoint, checkpoint)
    }

    /// What it says; without `success` it is none.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        match self.success? {
            true => Some(Verdict::Taken),
            false => Some(Verdict::Refused(self.reason())),
        }
    }

    /// Why it says no.
    #[must_use]
    pub fn reason(&self) -> String {
        if self.message.is_empty() {
            "the upstream does not say why".to_owned()
        } else {
            format!("the upstream says: {}", self.message)
        }
    }
}

/// A text, or any other value as JSON.
fn text(value: &RawValue) -> String {
    serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

/// An id as text, whether it is a text or a number. `null` and what no id can be say nothing.
fn id(value: &RawValue) -> Option<String> {
    match value.get().as_bytes().first()? {
        b'n' | b'{' | b'[' => None,
        _ => Some(text(value)),
    }
}

/// What strangers write, in one short line that can go into a log.
#[must_use]
pub fn words(text: &str) -> String {
    let mut out = String::new();
    for (i, part) in text.split(|c: char| c.is_whitespace() || c.is_control()).enumerate() {
        if i > 0 && !out.is_empty() && !part.is_empty() {
            out.push(' ');
        }
        for c in part.chars() {
            if out.chars().count() >= SHOWN {
                return out + "…";
            }
            out.push(c);
        }
    }
    out
}

/// What an HTTP answer says. `body`: as much of it as was read, `None` when that was too much.
#[must_use]
pub fn of_http(status: u16, body: Option<&[u8]>) -> Verdict {
    let said = body.and_then(|body| std::str::from_utf8(body).ok());
    let answer = said.and_then(Answer::read);
    let reason = match &answer {
        Some(answer) if !answer.message.is_empty() => {
            format!("the upstream answers {status}: {}", answer.message)
        }
        _ => format!("the upstream answers {status}"),
    };
    match status {
        200 | 201 => match answer {
            Some(answer) => match answer.success {
                Some(false) => Verdict::Refused(answer.reason()),
                _ => Verdict::Taken,
            },
            None if body.is_some_and(<[u8]>::is_empty) => Verdict::Taken,
            // The login page of a hotel has an answer to everything.
            None => Verdict::Failed(format!(
                "{reason}, but not with JSON: check that `url` leads to the upstream and not to a proxy's page"
            )),
        },
        300..=399 => Verdict::Failed(format!("{reason}, a redirect: set `url` to where it leads")),
        401 | 403 => Verdict::Failed(format!("{reason}: check `api_key`")),
        404 | 405 | 501 => Verdict::Absent(format!("{reason}: nothing takes records there")),
        400 | 409..=411 | 413 | 415 | 422 => Verdict::Refused(reason),
        _ => Verdict::Failed(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Verdict, of_http, words};
    use proptest::prelude::*;

    #[test]
    fn an_answer_is_read_whatever_else_is_in_it() {
        let answer =
            Answer::read(r#"{"success":true,"message":"ok","camera_id":7,"checkpoint_id":"a","x":[1,{}]}"#);
        let answer = answer.unwrap();
        assert_eq!(answer.verdict(), Some(Verdict::Taken));
        assert!(answer.fits("7", "a") && !answer.fits("8", "a") && !answer.fits("7", "b"));
        let silent = Answer::read(r#"{"success":true,"camera_id":null}"#).unwrap();
        assert!(silent.fits("7", "a"), "it names nobody");
        assert_eq!((Answer::read("[]"), Answer::read("[true]"), Answer::read("")), (None, None, None));
        assert_eq!(Answer::read(r#"{"success":"yes"}"#).unwrap().verdict(), None, "that is no yes");
        let refused = Answer::read(r#"{"success":false,"error":"no\u0007\n\n table"}"#).unwrap();
        assert_eq!(refused.verdict(), Some(Verdict::Refused("the upstream says: no table".to_owned())));
    }

    #[test]
    fn only_200_and_201_take_a_record_and_only_some_refuse_it_for_good() {
        let ok = Some(&br#"{"success":true}"#[..]);
        for (status, body) in [(200, ok), (201, ok), (200, Some(&b"{}"[..])), (201, Some(&b""[..]))] {
            assert_eq!(of_http(status, body), Verdict::Taken, "{status} {body:?}");
        }
        for body in [Some(&b"<html>"[..]), None, Some(b"\xff"), Some(b"true")] {
            assert!(matches!(of_http(200, body), Verdict::Failed(_)), "{body:?}");
        }
        assert!(matches!(of_http(200, Some(br#"{"success":false}"#)), Verdict::Refused(_)));
        for status in [400, 409, 413, 415, 422] {
            assert!(matches!(of_http(status, ok), Verdict::Refused(_)), "{status}");
        }
        for status in [404, 405, 501] {
            assert!(matches!(of_http(status, ok), Verdict::Absent(_)), "{status}");
        }
        for status in [100, 202, 204, 301, 302, 401, 403, 408, 429, 500, 502, 503, 507, 999] {
            assert!(matches!(of_http(status, ok), Verdict::Failed(_)), "{status}");
        }
        let Verdict::Refused(why) = of_http(400, Some(br#"{"message":"Missing required field: type"}"#))
        else {
            panic!()
        };
        assert_eq!(why, "the upstream answers 400: Missing required field: type");
    }

    #[test]
    fn what_strangers_write_is_one_short_line() {
        assert_eq!(words(" a\u{1b}[31m\r\n b "), "a [31m b");
        assert_eq!(words(&"x".repeat(1000)).chars().count(), 161);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(status in any::<u16>(), body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = of_http(status, Some(&body));
        }

        #[test]
        fn nothing_but_true_is_a_yes(text in "\\PC{0,40}") {
            if let Some(answer) = Answer::read(&text) {
                prop_assert!(answer.verdict() != Some(Verdict::Taken) || text.contains("true"));
            }
        }
    }
}
