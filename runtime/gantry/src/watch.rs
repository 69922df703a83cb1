//! Notices that the configuration file has another content than the one applied.
//!
//! By content and not by events of the file system: editors replace files, network mounts send no events, and a
//! container's bind mount keeps the time stamp.

use std::path::Path;

/// Looks at one file, a few times a second.
#[derive(Debug)]
pub(crate) struct Watch {
    /// What was handled last, good or bad; `None` for a file that cannot be read.
    handled: Option<Vec<u8>>,
    /// What the last look saw, if it was something else.
    seen: Option<Option<Vec<u8>>>,
}

impl Watch {
    /// Begins with the content that is in force.
    pub(crate) fn new(content: &str) -> Self {
        Self { handled: Some(content.as_bytes().to_vec()), seen: None }
    }

    /// Whether the file has a new content. It has to be the same at two looks in a row, so that a file that is just being
    /// written is not read half.
    pub(crate) fn look(&mut self, file: &Path) -> bool {
        self.saw(std::fs::read(file).ok())
    }

    fn saw(&mut self, content: Option<Vec<u8>>) -> bool {
        if content == self.handled {
            self.seen = None;
            return false;
        }
        if self.seen.as_ref() == Some(&content) {
            self.seen = None;
            self.handled = content;
            return true;
        }
        self.seen = Some(content);
        false
    }

    /// Notes the content that a reload for another reason has handled.
    pub(crate) fn handled(&mut self, content: &str) {
        self.handled = Some(content.as_bytes().to_vec());
        self.seen = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saw(watch: &mut Watch, content: &str) -> bool {
        watch.saw(Some(content.as_bytes().to_vec()))
    }

    #[test]
    fn a_change_is_told_once_and_only_when_it_has_settled() {
        let mut watch = Watch::new("a");
        assert!(!saw(&mut watch, "a"));
        assert!(!saw(&mut watch, "b half"));
        assert!(!saw(&mut watch, "b whole"));
        assert!(saw(&mut watch, "b whole"));
        assert!(!saw(&mut watch, "b whole"));
        assert!(!saw(&mut watch, "a"));
        assert!(saw(&mut watch, "a"), "the way back is a change as well");
    }

    #[test]
    fn a_file_that_disappears_is_told_once_and_an_editor_that_replaces_it_is_not() {
        let mut watch = Watch::new("a");
        assert!(!watch.saw(None));
        assert!(!saw(&mut watch, "a"));
        assert!(!watch.saw(None));
        assert!(watch.saw(None));
        assert!(!watch.saw(None));
        watch.handled("c");
        assert!(!saw(&mut watch, "c"));
    }
}
