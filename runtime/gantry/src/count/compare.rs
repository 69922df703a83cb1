//! What was counted beside what should have been.

use super::truth::Event;
use gantry_vision::{Crossing, Direction};
use std::collections::BTreeMap;

/// How counted and expected crossings go together.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Comparison {
    /// How many were found.
    pub(super) found: usize,
    /// The farthest that a found one is from the expected one, in seconds.
    pub(super) farthest_s: f64,
    /// Expected, and not counted.
    pub(super) missing: Vec<Event>,
    /// Counted, and not expected.
    pub(super) wrong: Vec<Crossing>,
}

/// What is expected and what was counted on one line, one way.
type Group<'a> = (Vec<&'a Event>, Vec<&'a Crossing>);

/// Pairs crossings of the same line and direction that are not more than `tolerance_s` apart: as many as can be, and of all
/// ways to do that the one with the least distances.
pub(super) fn compare(expected: &[Event], counted: &[Crossing], tolerance_s: f64) -> Comparison {
    let mut groups: BTreeMap<(&str, Direction), Group<'_>> = BTreeMap::new();
    for event in expected {
        groups.entry((&event.line, event.direction)).or_default().0.push(event);
    }
    for crossing in counted {
        groups.entry((&crossing.line, crossing.direction)).or_default().1.push(crossing);
    }
    let mut comparison = Comparison::default();
    for (mut expected, mut counted) in groups.into_values() {
        expected.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
        counted.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
        let times = |n: usize| expected[n].t_s;
        let (mut from, mut rest) = (0, counted.as_slice());
        // Where nothing is near, one can cut: what is left and right of there cannot go together.
        while from < expected.len() || !rest.is_empty() {
            let (to, taken) = cluster(&expected[from..], rest, tolerance_s);
            let pairs = pair(from..from + to, times, &rest[..taken], tolerance_s);
            for (n, event) in expected[from..from + to].iter().enumerate() {
                match pairs.iter().find(|(e, _)| *e == n) {
                    Some((_, c)) => {
                        comparison.found += 1;
                        let distance = (rest[*c].t_s - event.t_s).abs();
                        comparison.farthest_s = comparison.farthest_s.max(distance);
                    }
                    None => comparison.missing.push((*event).clone()),
                }
            }
            let is_wrong = |c: &usize| pairs.iter().all(|(_, paired)| paired != c);
            comparison.wrong.extend((0..taken).filter(is_wrong).map(|c| rest[c].clone()));
            from += to;
            rest = &rest[taken..];
        }
    }
    comparison.missing.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
    comparison.wrong.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
    comparison
}

/// How many from the beginning of each hang together by time.
fn cluster(expected: &[&Event], counted: &[&Crossing], tolerance_s: f64) -> (usize, usize) {
    let (mut e, mut c) = (0, 0);
    let mut last: Option<f64> = None;
    loop {
        let (next_e, next_c) = (expected.get(e).map(|x| x.t_s), counted.get(c).map(|x| x.t_s));
        let is_expected = match (next_e, next_c) {
            (Some(a), Some(b)) => a <= b,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return (e, c),
        };
        let next = if is_expected { next_e } else { next_c }.unwrap_or_default();
        if last.is_some_and(|last| next - last > tolerance_s) {
            return (e, c);
        }
        last = Some(next);
        if is_expected {
            e += 1;
        } else {
            c += 1;
        }
    }
}

/// The best pairs, as numbers within both. In order of time both ways: crossing pairs could be uncrossed without getting
/// farther apart.
fn pair(
    range: std::ops::Range<usize>,
    expected: impl Fn(usize) -> f64,
    counted: &[&Crossing],
    tolerance_s: f64,
) -> Vec<(usize, usize)> {
    let (rows, columns) = (range.len(), counted.len());
    // The best of the first `e` and `c`: pairs, and minus their distances, so that more is better in both.
    let at = |e: usize, c: usize| e * (columns + 1) + c;
    let mut best = vec![(0usize, 0f64); (rows + 1) * (columns + 1)];
    let distance = |e: usize, c: usize| (expected(range.start + e) - counted[c].t_s).abs();
    let is_better = |a: (usize, f64), b: (usize, f64)| a.0 > b.0 || (a.0 == b.0 && a.1 > b.1);
    let paired = |best: &[(usize, f64)], e: usize, c: usize| {
        let d = distance(e, c);
        // So that 1.0 of tolerance takes 7.9 for 6.9.
        (d <= tolerance_s + 1e-9).then(|| (best[at(e, c)].0 + 1, best[at(e, c)].1 - d))
    };
    for e in 1..=rows {
        for c in 1..=columns {
            let (up, left) = (best[at(e - 1, c)], best[at(e, c - 1)]);
            let mut one = if is_better(up, left) { up } else { left };
            if let Some(both) = paired(&best, e - 1, c - 1).filter(|both| is_better(*both, one)) {
                one = both;
            }
            best[at(e, c)] = one;
        }
    }
    let (mut e, mut c, mut pairs) = (rows, columns, Vec::new());
    while e > 0 && c > 0 {
        let here = best[at(e, c)];
        if here == best[at(e - 1, c)] {
            e -= 1;
        } else if here == best[at(e, c - 1)] {
            c -= 1;
        } else {
            (e, c) = (e - 1, c - 1);
            pairs.push((e, c));
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(times: &[f64]) -> Vec<Event> {
        let event = |t_s: &f64| Event { t_s: *t_s, line: "door".into(), direction: Direction::In };
        times.iter().map(event).collect()
    }

    fn counted(times: &[f64]) -> Vec<Crossing> {
        let one = |t_s: &f64| Crossing { t_s: *t_s, line: "door".into(), direction: Direction::In, track: 1 };
        times.iter().map(one).collect()
    }

    fn result(truth: &[f64], seen: &[f64]) -> (usize, Vec<f64>, Vec<f64>) {
        let compared = compare(&expected(truth), &counted(seen), 1.0);
        (
            compared.found,
            compared.missing.iter().map(|e| e.t_s).collect(),
            compared.wrong.iter().map(|c| c.t_s).collect(),
        )
    }

    #[test]
    fn as_many_as_can_be_go_together() {
        assert_eq!(result(&[], &[]), (0, vec![], vec![]));
        assert_eq!(result(&[6.9], &[7.9]), (1, vec![], vec![]));
        assert_eq!(result(&[6.9], &[7.91]), (0, vec![6.9], vec![7.91]));
        assert_eq!(result(&[1.0], &[0.5, 1.1]), (1, vec![], vec![0.5]));
        // The nearest of the first is the only one of the second.
        assert_eq!(result(&[1.0, 2.0], &[0.2, 1.1]), (2, vec![], vec![]));
        assert_eq!(result(&[1.0, 1.5], &[1.6, 2.4]), (2, vec![], vec![]));
        assert_eq!(result(&[5.0, 1.0], &[9.0, 1.2]), (1, vec![5.0], vec![9.0]));
    }

    #[test]
    fn one_is_found_once() {
        assert_eq!(result(&[1.0], &[1.0, 1.0, 1.0]).2.len(), 2);
        assert_eq!(result(&[1.0, 1.0], &[1.0]), (1, vec![1.0], vec![]));
    }

    #[test]
    fn another_line_and_the_other_way_are_something_else() {
        let mut seen = counted(&[1.0, 2.0]);
        seen[0].line = "gate".into();
        seen[1].direction = Direction::Out;
        let compared = compare(&expected(&[1.0, 2.0]), &seen, 1.0);
        assert_eq!((compared.found, compared.missing.len(), compared.wrong.len()), (0, 2, 2));
    }

    #[test]
    fn no_other_pairing_finds_more_or_is_nearer() {
        // All subsets and orders of a few times, by brute force.
        fn brute(truth: &[f64], seen: &[f64]) -> (usize, f64) {
            let Some((first, rest)) = truth.split_first() else { return (0, 0.0) };
            let mut best = brute(rest, seen);
            for (n, t) in seen.iter().enumerate().filter(|(_, t)| (*t - first).abs() <= 1.0) {
                let others: Vec<f64> =
                    seen.iter().enumerate().filter(|(m, _)| *m != n).map(|(_, t)| *t).collect();
                let (found, distance) = brute(rest, &others);
                let (found, distance) = (found + 1, distance.max((t - first).abs()));
                if found > best.0 {
                    best = (found, distance);
                }
            }
            best
        }
        let mut seed = 7u32;
        let mut times = |n: usize| -> Vec<f64> {
            (0..n)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    f64::from(seed >> 24) / 40.0
                })
                .collect()
        };
        for n in 0..300 {
            let (truth, seen) = (times(n % 6), times(n / 6 % 6));
            let (found, missing, wrong) = result(&truth, &seen);
            assert_eq!(found, brute(&truth, &seen).0, "{truth:?} {seen:?}");
            assert_eq!((missing.len(), wrong.len()), (truth.len() - found, seen.len() - found));
        }
    }
}
