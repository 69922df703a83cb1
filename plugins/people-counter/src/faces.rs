//! What clients want to know of faces: a question to the runtime, and from its answer theirs.

use crate::message::{self, Face, NoFace};
use crate::request::{Refusal, Request};
use bytes::Bytes;
use gantry_serve::Segments;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// What the runtime answers to a question: JSON of the service, or a sentence.
pub type Reply = Result<Value, String>;

/// A question to the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// For the face of this id.
    Face(u64),
    /// For this many of the newest faces.
    Faces(usize),
}

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum Step {
    /// This is the answer.
    Say(Segments),
    /// This is to be asked first.
    Ask(Ask),
}

impl From<Request> for Step {
    fn from(request: Request) -> Self {
        match request {
            Request::Face(id) => match id.as_u64() {
                Some(id) => Self::Ask(Ask::Face(id)),
                // The runtime never gives such an id to a face.
                None => Self::Say(message::no_face_image(&id, NoFace::Unknown)),
            },
            Request::Faces(count) => Self::Ask(Ask::Faces(count)),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Missing {
    Face,
    File,
}

/// What `faces.get` answers.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Get {
    missing: Option<Missing>,
    filename: Option<String>,
    image_data: Option<String>,
}

/// What `faces.list` answers. Without a list there are none to be had.
#[derive(Deserialize)]
struct List {
    faces: Option<Vec<Listed>>,
}

#[derive(Deserialize)]
struct Listed {
    face_id: u64,
    filename: Option<String>,
    image_data: String,
}

impl Ask {
    /// Its service.
    #[must_use]
    pub fn service(&self) -> &'static str {
        match self {
            Self::Face(_) => "faces.get",
            Self::Faces(_) => "faces.list",
        }
    }

    /// What the service is asked.
    #[must_use]
    pub fn request(&self) -> Value {
        match self {
            Self::Face(id) => json!({"face_id": id}),
            // Also when none is wanted: whether there are faces at all is an answer of its own.
            Self::Faces(count) => json!({"limit": (*count).max(1)}),
        }
    }

    /// The answer, of `budget` bytes at most.
    pub fn answer(&self, reply: Reply, pictures: &mut Pictures, budget: usize) -> Segments {
        match self {
            Self::Face(id) => {
                let Ok(Ok(found)) = reply.map(serde_json::from_value::<Get>) else {
                    return message::error(Refusal::Internal);
                };
                let picture = found.image_data.and_then(|base64| pictures.share(*id, base64));
                match (found.missing, picture) {
                    (None, Some(picture)) => message::face_image(&face(*id, found.filename, picture)),
                    (Some(Missing::Face), _) => message::no_face_image(&(*id).into(), NoFace::Unknown),
                    (Some(Missing::File) | None, _) => {
                        message::no_face_image(&(*id).into(), NoFace::FileGone)
                    }
                }
            }
            Self::Faces(count) => {
                let Ok(Ok(List { faces: Some(faces) })) = reply.map(serde_json::from_value::<List>) else {
                    return message::no_faces();
                };
                let mut shared = |listed: Listed| {
                    let picture = pictures.share(listed.face_id, listed.image_data)?;
                    Some(face(listed.face_id, listed.filename, picture))
                };
                let faces: Vec<_> = faces.into_iter().take(*count).filter_map(&mut shared).collect();
                message::all_faces(&faces, budget)
            }
        }
    }
}

fn face(id: u64, filename: Option<String>, picture: Bytes) -> Face {
    Face { id: id.into(), filename: filename.unwrap_or_else(|| format!("face_{id}.jpg")), picture }
}

struct Picture(String);

struct Shared(Arc<Picture>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.0.as_bytes()
    }
}

/// The pictures of faces that somebody is being sent. All answers with a picture share it: clients that ask and do not
/// read cost each picture once, and not once for each of them.
#[derive(Default)]
pub struct Pictures {
    known: HashMap<u64, Weak<Picture>>,
    /// At how many those that nobody is sent any more are forgotten.
    tidy_at: usize,
}

impl Pictures {
    /// The picture of a face as shared memory. `None` when this is not base64, which would break the answer.
    fn share(&mut self, id: u64, base64: String) -> Option<Bytes> {
        base64_simd::STANDARD.check(base64.as_bytes()).ok()?;
        if let Some(known) = self.known.get(&id).and_then(Weak::upgrade)
            && known.0 == base64
        {
            return Some(Bytes::from_owner(Shared(known)));
        }
        let picture = Arc::new(Picture(base64));
        if self.known.len() >= self.tidy_at {
            self.known.retain(|_, picture| picture.strong_count() > 0);
            self.tidy_at = (self.known.len() * 2).max(64);
        }
        self.known.insert(id, Arc::downgrade(&picture));
        Some(Bytes::from_owner(Shared(picture)))
    }
}

#[cfg(test)]
mod tests;
