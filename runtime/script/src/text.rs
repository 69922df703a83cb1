//! What scripts can ask of texts, besides what Rhai has.

use rhai::{EvalAltResult, FuncRegistration, Module};

/// The longest text and pattern, in characters: comparing them is one operation, however long it takes.
const MAX_CHARS: usize = 256;

/// The functions, for all scripts.
pub(crate) fn functions() -> Module {
    let mut module = Module::new();
    FuncRegistration::new("like")
        .in_global_namespace()
        .with_params_info(["text: &str", "pattern: &str", "bool"])
        .with_comments([
            "/// Whether a text is as the pattern says: `*` stands for any characters or none, `?` for one.",
        ])
        .set_into_module(&mut module, |text: &str, pattern: &str| -> Result<bool, Box<EvalAltResult>> {
            like(text, pattern).map_err(crate::actions::fail)
        });
    module
}

fn like(text: &str, pattern: &str) -> Result<bool, String> {
    let chars = |what: &str, text: &str| {
        let chars: Vec<char> = text.chars().take(MAX_CHARS + 1).collect();
        if chars.len() > MAX_CHARS {
            return Err(format!("`like` compares at most {MAX_CHARS} characters: the {what} is longer"));
        }
        Ok(chars)
    };
    Ok(matches(&chars("text", text)?, &chars("pattern", pattern)?))
}

/// Without recursion: only the last `*` may ever have to stand for more.
fn matches(text: &[char], pattern: &[char]) -> bool {
    let (mut at, mut next) = (0, 0);
    let mut star = None;
    while at < text.len() {
        match pattern.get(next) {
            Some('*') => {
                star = Some((at, next));
                next += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == text[at] => (at, next) = (at + 1, next + 1),
            _ => {
                let Some((from, back)) = star else { return false };
                star = Some((from + 1, back));
                (at, next) = (from + 1, back + 1);
            }
        }
    }
    pattern[next..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_stand_for_any_characters_and_question_marks_for_one() {
        for (text, pattern) in [
            ("", ""),
            ("", "*"),
            ("ABC123", "ABC123"),
            ("ABC123", "ABC*"),
            ("ABC123", "*123"),
            ("ABC123", "A*C?2*"),
            ("ABAB", "*AB"),
            ("AXXBXXB", "A*B"),
            ("กข1234", "กข????"),
            ("a*b", "a*b"),
        ] {
            assert_eq!(like(text, pattern), Ok(true), "{text} {pattern}");
        }
        for (text, pattern) in
            [("", "?"), ("ABC", ""), ("ABC123", "ABC"), ("ABC", "ABC?"), ("ABC", "*B"), ("ABC", "abc")]
        {
            assert_eq!(like(text, pattern), Ok(false), "{text} {pattern}");
        }
    }

    #[test]
    fn what_would_take_long_to_compare_is_refused() {
        assert_eq!(like(&"a".repeat(256), &("*a".repeat(127) + "*b")), Ok(false));
        assert!(like(&"a".repeat(257), "*").is_err_and(|e| e.contains("the text is longer")));
        assert!(like("a", &"*".repeat(257)).is_err_and(|e| e.contains("the pattern is longer")));
    }

    /// What the words say, in as many steps as it takes.
    fn plainly(text: &[char], pattern: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|skip| plainly(&text[skip..], rest)),
            Some((one, rest)) => {
                text.split_first().is_some_and(|(c, text)| (*one == '?' || one == c) && plainly(text, rest))
            }
        }
    }

    proptest! {
        #[test]
        fn it_says_what_the_words_say(text in "[ab]{0,8}", pattern in "[ab*?]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = plainly(&chars(&text), &chars(&pattern));
            prop_assert_eq!(like(&text, &pattern), Ok(expected));
        }
    }
}
