//! What contenders used, side by side, and whether aims were met.

use std::fmt;

use porthole_tests::bench::{Figure, Noise};
use serde::Serialize;

/// All results of a run, in the order in which they first came.
#[derive(Debug, Default)]
pub struct Results(Vec<Cell>);

#[derive(Debug)]
struct Cell {
    what: String,
    unit: &'static str,
    contender: &'static str,
    values: Vec<f64>,
}

/// Something to reach: one contender's figure, alone or in parts of another's, at most so much.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Aim {
    /// What is measured.
    pub what: &'static str,
    /// Whose aim it is.
    pub of: &'static str,
    /// In parts of whose figure; else the figure itself.
    pub over: Option<&'static str>,
    /// At most.
    pub at_most: f64,
}

/// What became of an aim.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Outcome {
    /// The aim.
    #[serde(flatten)]
    pub aim: Aim,
    /// What was reached, of medians.
    pub reached: f64,
    /// Whether that is enough.
    pub met: bool,
}

/// A figure of one contender.
#[derive(Debug, Serialize)]
struct Entry {
    what: String,
    contender: &'static str,
    unit: &'static str,
    median: f64,
    min: f64,
    max: f64,
    rounds: usize,
}

/// All that a run gave.
#[derive(Debug, Serialize)]
pub struct Comparison {
    figures: Vec<Entry>,
    aims: Vec<Outcome>,
    noise: Noise,
}

impl Results {
    /// One round's result.
    pub fn add(&mut self, what: impl Into<String>, unit: &'static str, contender: &'static str, value: f64) {
        let what = what.into();
        match self.0.iter_mut().find(|cell| cell.what == what && cell.contender == contender) {
            Some(cell) => cell.values.push(value),
            None => self.0.push(Cell { what, unit, contender, values: vec![value] }),
        }
    }

    /// Medians, and what became of the aims whose figures were measured.
    pub fn compare(self, aims: &[Aim], noise: Noise) -> Comparison {
        let figures: Vec<Entry> = self
            .0
            .into_iter()
            .map(|Cell { what, unit, contender, values }| {
                let Figure { median, min, max, rounds, .. } = Figure::of(contender, unit, values);
                Entry { what, contender, unit, median, min, max, rounds }
            })
            .collect();
        let median = |what: &str, contender: &str| {
            let entry = figures.iter().find(|entry| entry.what == what && entry.contender == contender)?;
            Some(entry.median)
        };
        let aims = aims
            .iter()
            .filter_map(|aim| {
                let of = median(aim.what, aim.of)?;
                let reached = match aim.over {
                    None => of,
                    Some(other) => of / median(aim.what, other)?,
                };
                Some(Outcome { aim: *aim, reached, met: reached <= aim.at_most })
            })
            .collect();
        Comparison { figures, aims, noise }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown: Vec<&str> = Vec::new();
        for Entry { what, unit, rounds, .. } in &self.figures {
            if shown.contains(&what.as_str()) {
                continue;
            }
            shown.push(what);
            writeln!(f, "\n{what}, {unit} ({rounds} rounds)")?;
            let of_this = self.figures.iter().filter(|entry| entry.what == *what);
            let mut first = None;
            for Entry { contender, median, min, max, .. } in of_this {
                let first = *first.get_or_insert(*median);
                let ratio = if first > 0.0 { format!("{:.2} ×", median / first) } else { String::new() };
                let [median, min, max] = [*median, *min, *max].map(short);
                writeln!(f, "  {contender:<20} {median:>9}  ({min}–{max})  {ratio}")?;
            }
        }
        if !self.aims.is_empty() {
            writeln!(f, "\naims")?;
        }
        for Outcome { aim: Aim { what, of, over, at_most }, reached, met } in &self.aims {
            let verdict = if *met { "met" } else { "MISSED" };
            let than = over.map_or(String::new(), |over| format!(" × {over}"));
            writeln!(f, "  {verdict:<7} {of}: {what}: {}{than}, at most {at_most}", short(*reached))?;
        }
        writeln!(f, "\n{}", self.noise)
    }
}

/// Three digits.
fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AIM: Aim = Aim { what: "cost", of: "ours", over: Some("theirs"), at_most: 0.5 };

    #[tokio::test]
    async fn medians_are_compared_and_what_was_not_measured_is_not_judged() {
        let mut results = Results::default();
        for (ours, theirs) in [(1.0, 4.0), (3.0, 2.0), (2.0, 5.0)] {
            results.add("cost", "s", "ours", ours);
            results.add("cost", "s", "theirs", theirs);
        }
        let aims =
            [AIM, Aim { at_most: 0.4, ..AIM }, Aim { over: None, at_most: 2.0, ..AIM }, Aim { of: "nobody", ..AIM }];
        let comparison = results.compare(&aims, Noise::before().await.unwrap());
        let outcomes: Vec<(f64, bool)> = comparison.aims.iter().map(|outcome| (outcome.reached, outcome.met)).collect();
        assert_eq!(outcomes, [(0.5, true), (0.5, false), (2.0, true)]);
        let table = comparison.to_string();
        assert!(table.contains("theirs                    4.00  (2.00–5.00)  2.00 ×"), "{table}");
        assert!(table.contains("MISSED  ours: cost: 0.500 × theirs, at most 0.4"), "{table}");
    }
}
