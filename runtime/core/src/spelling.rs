//! What was probably meant by a word that nobody knows.

/// The one of `known` that was probably meant: a third of it may be mistyped, or it may be named by a part of it. Case, and
/// `-` for `_`, do not count.
#[must_use]
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |word: &str| word.to_lowercase().replace('-', "_");
    let given = fold(given);
    let known: Vec<_> = known.into_iter().map(|word| (fold(word), word)).collect();
    let by_spelling = known
        .iter()
        .map(|(folded, word)| (strsim::damerau_levenshtein(&given, folded), folded.chars().count(), *word))
        .filter(|(distance, len, _)| *distance <= (len / 3).max(1))
        .min();
    let is_part = |folded: &str| given.len() > 3 && (folded.contains(&given) || given.contains(folded));
    let by_part = || known.iter().find(|(folded, _)| is_part(folded)).map(|(_, word)| *word);
    by_spelling.map(|(.., word)| word).or_else(by_part)
}

/// The sentence about a key that does not exist. `show` writes a known key as the operator would.
#[must_use]
pub fn unknown_key<'a>(
    key: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
    show: impl Fn(&str) -> String,
) -> String {
    if let Some(near) = nearest(key, known.clone()) {
        return format!("unknown key; did you mean `{}`?", show(near));
    }
    let shown: Vec<_> = known.into_iter().map(|word| format!("`{}`", show(word))).collect();
    match shown.split_last() {
        None => "unknown key: remove it".to_owned(),
        Some((only, [])) => format!("unknown key: it can only be {only}"),
        Some((last, rest)) => format!("unknown key: it can be {} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_case_and_parts_are_understood_and_other_words_are_not() {
        let known = ["publish_rate", "bind", "fps"];
        for (given, meant) in [
            ("publish_rat", Some("publish_rate")),
            ("Publish-Rate", Some("publish_rate")),
            ("rate", Some("publish_rate")),
            ("bnid", Some("bind")),
            ("fsp", Some("fps")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, known), meant, "{given}");
        }
    }

    #[test]
    fn the_sentence_ends_in_the_next_step() {
        let say = |known: &[&'static str]| unknown_key("zzz", known.iter().copied(), str::to_uppercase);
        assert_eq!(say(&[]), "unknown key: remove it");
        assert_eq!(say(&["a"]), "unknown key: it can only be `A`");
        assert_eq!(say(&["a", "b", "c"]), "unknown key: it can be `A`, `B` or `C`");
    }
}
