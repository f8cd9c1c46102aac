//! Measurements: what `make bench` prints. Never part of a test: a machine's speed is no property of the product.
//!
//! Each measurement gives [`Figure`]s, whose median, minimum and maximum are printed as a table or as JSON. A round that
//! fails ends the run with its error: there is no figure from half of the rounds.

use std::fmt::Write as _;

use serde::Serialize;

pub mod control;
pub mod first_pixels;
pub mod hook;
mod noise;

pub use noise::Noise;

/// One measured quantity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: &'static str,
    /// In which unit.
    pub unit: &'static str,
    /// Half of the rounds were below it.
    pub median: f64,
    /// The lowest of all rounds.
    pub min: f64,
    /// The highest of all rounds.
    pub max: f64,
    /// How many rounds there were.
    pub rounds: usize,
}

impl Figure {
    /// From the results of all rounds.
    ///
    /// # Panics
    /// Without any.
    pub fn of(name: &'static str, unit: &'static str, mut results: Vec<f64>) -> Self {
        assert!(!results.is_empty(), "{name}: no rounds");
        results.sort_by(f64::total_cmp);
        let (rounds, half) = (results.len(), results.len() / 2);
        let median = if rounds % 2 == 1 { results[half] } else { f64::midpoint(results[half - 1], results[half]) };
        Self { name, unit, median, min: results[0], max: results[rounds - 1], rounds }
    }
}

/// All that was measured, and how quiet the machine was.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The figures.
    pub figures: Vec<Figure>,
    /// What else the machine did.
    pub noise: Noise,
}

impl Report {
    /// For people.
    pub fn table(&self) -> String {
        let width = self.figures.iter().map(|figure| figure.name.len()).max().unwrap_or_default();
        let mut table = format!("{:width$}  {:>9}  {:>9}  {:>9}  unit  rounds\n", "", "median", "min", "max");
        for Figure { name, unit, median, min, max, rounds } in &self.figures {
            let _ = writeln!(table, "{name:width$}  {median:>9.1}  {min:>9.1}  {max:>9.1}  {unit:<4}  {rounds:>6}");
        }
        let _ = writeln!(table, "{}", self.noise);
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_middle_and_the_ends() {
        let odd = Figure::of("x", "ms", vec![3.0, 1.0, 2.0]);
        assert_eq!((odd.median, odd.min, odd.max, odd.rounds), (2.0, 1.0, 3.0, 3));
        let even = Figure::of("x", "ms", vec![4.0, 1.0]);
        assert_eq!((even.median, even.rounds), (2.5, 2));
    }
}
