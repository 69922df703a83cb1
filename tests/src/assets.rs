//! Footage that lies beside the project and is not part of it.

use std::path::PathBuf;

/// A file of the test assets (`GANTRY_TEST_ASSETS`, by default `../shared`), or `None` with a line that says so: the test
/// that wanted it skips.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("GANTRY_TEST_ASSETS").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| crate::root().join("../shared"));
    let path = folder.join(name);
    if path.exists() {
        return path.canonicalize().ok();
    }
    eprintln!(
        "SKIPPED: {} is not there; set GANTRY_TEST_ASSETS to the folder of the test assets",
        path.display()
    );
    None
}
