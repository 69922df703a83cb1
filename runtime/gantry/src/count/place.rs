//! Lines and zones of the command line.

use gantry_core::config::{Anchor, Line, Zone};

/// The longest name.
const MAX_NAME: usize = 40;

/// A line, and its name if it has one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GivenLine {
    pub(super) name: Option<String>,
    pub(super) line: Line,
}

/// A zone, and its name if it has one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GivenZone {
    pub(super) name: Option<String>,
    pub(super) zone: Zone,
}

/// Reads `[NAME=]x1,y1,x2,y2`.
pub(super) fn line(text: &str) -> Result<GivenLine, String> {
    let (name, numbers) = split(text)?;
    let [x1, y1, x2, y2] = numbers[..] else {
        return Err(format!("a line has 4 numbers and this has {}: write x1,y1,x2,y2", numbers.len()));
    };
    let line = Line { from: [x1, y1], to: [x2, y2], anchor: Anchor::default(), band: None };
    gantry_analysis::line(name.as_deref().unwrap_or("line"), &line).map_err(|e| e.to_string())?;
    Ok(GivenLine { name, line })
}

/// Reads `[NAME=]x1,y1,x2,y2,x3,y3,…`.
pub(super) fn zone(text: &str) -> Result<GivenZone, String> {
    let (name, numbers) = split(text)?;
    if numbers.len() < 6 || numbers.len() % 2 == 1 {
        let count = numbers.len();
        return Err(format!("a zone has 2 numbers for each of 3 corners or more and this has {count}"));
    }
    let corners = numbers.chunks_exact(2).map(|c| [c[0], c[1]]).collect();
    let zone = Zone { corners, anchor: Anchor::default() };
    gantry_analysis::zone(name.as_deref().unwrap_or("zone"), &zone).map_err(|e| e.to_string())?;
    Ok(GivenZone { name, zone })
}

fn split(text: &str) -> Result<(Option<String>, Vec<f32>), String> {
    let (name, numbers) = match text.split_once('=') {
        Some((name, numbers)) => (Some(name.trim().to_owned()), numbers),
        None => (None, text),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name
        .as_ref()
        .is_some_and(|name| name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_plain))
    {
        return Err(format!(
            "names are made of letters, digits, `-`, `_` and `.`, at most {MAX_NAME}: rename it"
        ));
    }
    let number = |part: &str| {
        let parsed = part.trim().parse::<f32>().ok().filter(|n| n.is_finite());
        parsed.ok_or_else(|| format!("`{}` is no number: write numbers from 0 to 1 and commas", part.trim()))
    };
    Ok((name, numbers.split(',').map(number).collect::<Result<_, _>>()?))
}

/// Names for all: those without one are called `WHAT`, or `WHAT1`, `WHAT2`, … by their place when there are several.
pub(super) fn names<'a>(
    given: impl ExactSizeIterator<Item = Option<&'a str>>,
    what: &str,
) -> Result<Vec<String>, String> {
    let single = given.len() == 1;
    let name = |(n, name): (usize, Option<&str>)| match name {
        Some(name) => name.to_owned(),
        None if single => what.to_owned(),
        None => format!("{what}{}", n + 1),
    };
    let names: Vec<String> = given.enumerate().map(name).collect();
    match names.iter().enumerate().find(|(n, name)| names[..*n].contains(name)) {
        Some((_, name)) => Err(format!("two {what}s are named `{name}`: give each a name of its own")),
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_zones_have_names_if_one_is_given() {
        let door = line("door=0.8,0,0.8,1").expect("a line");
        assert_eq!(
            (door.name.as_deref(), door.line.from, door.line.to),
            (Some("door"), [0.8, 0.0], [0.8, 1.0])
        );
        assert_eq!(line("0, 0.5, 1, 0.5").expect("a line").name, None);
        assert_eq!(zone("hall=0,0,1,0,1,1,0,1").expect("a zone").zone.corners.len(), 4);
    }

    #[test]
    fn what_is_wrong_with_them_is_said() {
        for (text, says) in [
            ("0.5,0,0.5", "a line has 4 numbers and this has 3"),
            ("0.5,0,x,1", "`x` is no number"),
            ("0.5,0,NaN,1", "`NaN` is no number"),
            ("0.5,0,0.5,0", "two different points inside the picture"),
            ("0.5,0,0.5,1.2", "two different points inside the picture"),
            ("-0.5,0,0.5,1", "two different points inside the picture"),
            ("=0.5,0,0.5,1", "names are made of"),
            ("a b=0.5,0,0.5,1", "names are made of"),
        ] {
            let error = line(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
        for (text, says) in [
            ("0,0,1,1", "3 corners or more"),
            ("0,0,1,1,0", "3 corners or more"),
            ("0,0,0.5,0.5,1,1", "has no area"),
        ] {
            let error = zone(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn the_nameless_are_named_by_their_place() {
        let named = |given: &[Option<&str>]| names(given.iter().copied(), "line");
        assert_eq!(named(&[None]), Ok(vec!["line".into()]));
        assert_eq!(named(&[None, None]), Ok(vec!["line1".into(), "line2".into()]));
        assert_eq!(named(&[Some("door"), None]), Ok(vec!["door".into(), "line2".into()]));
        assert!(named(&[Some("line2"), None]).expect_err("twice").contains("named `line2`"));
    }
}
