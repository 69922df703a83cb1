//! The cheapest assignment of rows to columns (Jonker and Volgenant's way through the Hungarian method).

/// The column of each row in the assignment with the lowest sum of costs; rows beyond the number of columns get none.
/// `cost` is asked once for every pair and must give finite numbers. Time grows with the cube of the smaller side.
pub(crate) fn assign(rows: usize, columns: usize, cost: &dyn Fn(usize, usize) -> f32) -> Vec<Option<usize>> {
    if rows > columns {
        let mut given = vec![None; rows];
        for (column, row) in assign(columns, rows, &|c, r| cost(r, c)).into_iter().enumerate() {
            if let Some(row) = row {
                given[row] = Some(column);
            }
        }
        return given;
    }
    let costs: Vec<f64> = (0..rows)
        .flat_map(|r| (0..columns).map(move |c| (r, c)))
        .map(|(r, c)| f64::from(cost(r, c)))
        .collect();
    // Column 0 and row 0 stand for "none"; the others are shifted by one.
    let (mut u, mut v) = (vec![0.0; rows + 1], vec![0.0; columns + 1]);
    let (mut row_of, mut way) = (vec![0; columns + 1], vec![0; columns + 1]);
    for row in 1..=rows {
        row_of[0] = row;
        let mut column = 0;
        let (mut least, mut used) = (vec![f64::INFINITY; columns + 1], vec![false; columns + 1]);
        loop {
            used[column] = true;
            let (at, mut delta, mut next) = (row_of[column], f64::INFINITY, 0);
            for c in (1..=columns).filter(|c| !used[*c]).collect::<Vec<_>>() {
                let reduced = costs[(at - 1) * columns + c - 1] - u[at] - v[c];
                if reduced < least[c] {
                    (least[c], way[c]) = (reduced, column);
                }
                if least[c] < delta {
                    (delta, next) = (least[c], c);
                }
            }
            for c in 0..=columns {
                if used[c] {
                    u[row_of[c]] += delta;
                    v[c] -= delta;
                } else {
                    least[c] -= delta;
                }
            }
            column = next;
            if row_of[column] == 0 {
                break;
            }
        }
        while column != 0 {
            row_of[column] = row_of[way[column]];
            column = way[column];
        }
    }
    let mut given = vec![None; rows];
    for (column, row) in row_of.into_iter().enumerate().skip(1) {
        if row > 0 {
            given[row - 1] = Some(column - 1);
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The lowest sum by trying everything.
    fn cheapest(costs: &[Vec<f32>], row: usize, used: &mut Vec<bool>, skips: usize) -> f32 {
        let Some(line) = costs.get(row) else { return 0.0 };
        let mut best = f32::INFINITY;
        if skips > 0 {
            best = cheapest(costs, row + 1, used, skips - 1);
        }
        for column in 0..line.len() {
            if !used[column] {
                used[column] = true;
                best = best.min(line[column] + cheapest(costs, row + 1, used, skips));
                used[column] = false;
            }
        }
        best
    }

    proptest! {
        #[test]
        fn no_other_assignment_is_cheaper(
            rows in 0usize..6, columns in 0usize..6, numbers in prop::collection::vec(0u8..40, 36)
        ) {
            let costs: Vec<Vec<f32>> = (0..rows)
                .map(|r| (0..columns).map(|c| f32::from(numbers[r * 6 + c])).collect())
                .collect();
            let given = assign(rows, columns, &|r, c| costs[r][c]);
            prop_assert_eq!(given.len(), rows);
            let mut taken: Vec<_> = given.iter().flatten().copied().collect();
            prop_assert_eq!(taken.len(), rows.min(columns));
            taken.sort_unstable();
            taken.dedup();
            prop_assert_eq!(taken.len(), rows.min(columns));
            let sum: f32 = given.iter().enumerate().filter_map(|(r, c)| c.map(|c| costs[r][c])).sum();
            let best = cheapest(&costs, 0, &mut vec![false; columns], rows.saturating_sub(columns));
            prop_assert!((sum - best).abs() < 1e-3, "{} {}", sum, best);
        }
    }
}
