//! What can go wrong.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A picture whose bytes do not fit its size.
    #[error(
        "a {width}x{height} picture needs {needed} bytes in its {plane} plane and has {found}: give whole frames"
    )]
    Picture {
        /// Pixels across.
        width: usize,
        /// Pixels down.
        height: usize,
        /// Which plane.
        plane: &'static str,
        /// Bytes that it needs.
        needed: usize,
        /// Bytes that there are.
        found: usize,
    },
    /// A line whose ends are the same, or are no numbers.
    #[error("line {name:?} has no length: give it two different points inside the picture (0 to 1)")]
    Line {
        /// Its name.
        name: String,
    },
    /// A zone without an area.
    #[error(
        "zone {name:?} has no area: give it at least three points inside the picture (0 to 1) that are not in one line"
    )]
    Zone {
        /// Its name.
        name: String,
    },
    /// A name that two lines or two zones have.
    #[error("two lines or zones are named {name:?}: give each a name of its own")]
    Name {
        /// The name.
        name: String,
    },
    /// A model that cannot be read.
    #[error(
        "cannot load the model {path}: {reason}: give an ONNX file (opset 7 to 21) that this machine can read"
    )]
    Model {
        /// Its file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A model that is something else than its configured family.
    #[error("the model {path} is no {family}: {reason}: set `family` to what it is, or export it again")]
    Shape {
        /// Its file.
        path: String,
        /// What was expected.
        family: &'static str,
        /// What was found instead.
        reason: String,
    },
    /// A model that failed on a picture.
    #[error("the model {path} failed on a picture: {reason}: try it in another program, or export it again")]
    Inference {
        /// Its file.
        path: String,
        /// What the engine says.
        reason: String,
    },
}
