//! What can go wrong with a camera before it runs, and with films and single pictures.

use crate::source::SourceError;
use std::path::PathBuf;

/// Why a camera, or all of them, cannot start; why a film cannot be read or written, or a picture not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// GStreamer itself does not start.
    #[error("cannot start GStreamer: {0}: install gstreamer1.0-plugins-base and gstreamer1.0-plugins-good")]
    Init(String),
    /// The source cannot be understood.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The pipeline file is not there.
    #[error(
        "there is no pipeline file `{name}` (looked at {looked}): write it, or leave `pipeline` out for the default"
    )]
    NoPipelineFile {
        /// The name as configured.
        name: String,
        /// The places looked at.
        looked: String,
    },
    /// The pipeline file cannot be read.
    #[error("cannot read the pipeline file {}: {source}: make it readable for the gateway", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Something is wrong in the pipeline file, or with what it needs.
    #[error("{file}: {}", problems.join("; "))]
    Pipeline {
        /// The file, as a path or as `built-in NAME.toml`.
        file: String,
        /// Each a sentence that ends in the next step.
        problems: Vec<String>,
    },
    /// A picture cannot be encoded as JPEG.
    #[error("cannot encode the picture as JPEG: {0}")]
    Still(String),
    /// A recording or network camera cannot be read, or not to its end.
    #[error("cannot play {source_name}: {reason}")]
    Film {
        /// The file or URI, without credentials.
        source_name: String,
        /// What is wrong, and the next step.
        reason: String,
    },
    /// A film cannot be written.
    #[error("cannot write {}: {reason}", path.display())]
    FilmWriter {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the next step.
        reason: String,
    },
}
