//! Names of topics and state keys, and the filters that select them.
//!
//! Names are levels joined by `/`, such as `cameras/main/connected`. Filters are those of MQTT: `+` stands for exactly
//! one level, a last `#` for any number of further levels, including none.

/// The longest name or filter, in bytes.
pub const MAX_LEN: usize = 256;

/// Why a name or a filter is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// No characters at all.
    #[error("a topic needs at least one character")]
    Empty,
    /// More than [`MAX_LEN`] bytes.
    #[error("a topic has at most {MAX_LEN} bytes: shorten it")]
    TooLong,
    /// A control character, which no log could show.
    #[error("a topic has no control characters: remove them")]
    Control,
    /// A wildcard in a name, or one that does not stand alone in its level, or `#` before the last level.
    #[error("`+` and `#` belong to filters, alone in their level, `#` only in the last")]
    Wildcard,
}

fn check_text(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > MAX_LEN {
        return Err(TopicError::TooLong);
    }
    if text.chars().any(char::is_control) {
        return Err(TopicError::Control);
    }
    Ok(())
}

/// Checks a name: what is published to, or a state key.
pub fn check_name(name: &str) -> Result<(), TopicError> {
    check_text(name)?;
    if name.contains(['+', '#']) { Err(TopicError::Wildcard) } else { Ok(()) }
}

/// Checks a filter: what is subscribed to or watched.
pub fn check_filter(filter: &str) -> Result<(), TopicError> {
    check_text(filter)?;
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let wild = level.contains(['+', '#']);
        if wild && (level.len() > 1 || (level == "#" && levels.peek().is_some())) {
            return Err(TopicError::Wildcard);
        }
    }
    Ok(())
}

/// Whether `filter` selects `name`. Both must have passed their checks.
#[must_use]
pub fn matches(filter: &str, name: &str) -> bool {
    let mut names = name.split('/');
    for level in filter.split('/') {
        if level == "#" {
            return true;
        }
        match names.next() {
            Some(name) if level == "+" || level == name => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn filters_select_as_mqtt_says() {
        for (filter, name, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+/c", "a/b/c", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("#", "a/b", true),
            ("+", "a/b", false),
            ("a", "b", false),
        ] {
            assert_eq!(matches(filter, name), expected, "{filter} on {name}");
        }
    }

    #[test]
    fn misplaced_wildcards_are_refused() {
        for filter in ["a+", "#/a", "a/b#", "a/#/b"] {
            assert_eq!(check_filter(filter), Err(TopicError::Wildcard), "{filter}");
        }
        assert_eq!(check_name("a/+"), Err(TopicError::Wildcard));
        assert_eq!(check_name(""), Err(TopicError::Empty));
        assert_eq!(check_name("a\nb"), Err(TopicError::Control));
        assert_eq!(check_name(&"a".repeat(MAX_LEN + 1)), Err(TopicError::TooLong));
    }

    proptest! {
        #[test]
        fn every_name_is_selected_by_itself_and_by_its_prefixes(levels in prop::collection::vec("[a-z0-9]{0,6}", 1..6)) {
            let name = levels.join("/");
            prop_assert!(matches(&name, &name));
            for n in 0..levels.len() {
                let mut filter = levels[..n].to_vec();
                filter.push("#".into());
                prop_assert!(matches(&filter.join("/"), &name));
            }
        }

        #[test]
        fn no_text_panics(filter in ".*", name in ".*") {
            let _ = (check_filter(&filter), check_name(&name), matches(&filter, &name));
        }
    }
}
