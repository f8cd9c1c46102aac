//! The one place that prints.
//!
//! Results go to standard output, failures to standard error. With `--json` a result is one line that holds one JSON
//! value; otherwise text, in aligned columns where there are several things, coloured only on a terminal. Text that
//! came from elsewhere cannot move the cursor: control characters are shown, not sent.

use std::io::{self, Write};

use serde_json::Value;

use crate::failure::{Exit, Failure};

/// How a cell looks on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it is.
    Plain,
    /// As it should be.
    Good,
    /// Wants somebody's attention.
    Warning,
    /// Wants it now.
    Bad,
}

impl Tone {
    /// The colour, as an SGR parameter (ECMA-48).
    const fn colour(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Warning => Some("33"),
            Self::Bad => Some("31"),
        }
    }
}

/// A table's cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell that has a colour.
    pub(crate) fn toned(text: impl AsRef<str>, tone: Tone) -> Self {
        Self { text: visible(text.as_ref()), tone }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// Rows under a heading.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    heading: [&'static str; N],
    rows: Vec<[Cell; N]>,
}

impl<const N: usize> Table<N> {
    /// A table without rows.
    pub(crate) const fn new(heading: [&'static str; N]) -> Self {
        Self { heading, rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, row: [Cell; N]) {
        self.rows.push(row);
    }

    /// Columns as wide as their widest cell, two spaces apart, nothing behind the last.
    fn render(&self, coloured: bool) -> String {
        let heading = self.heading.map(Cell::from);
        let lines = || std::iter::once(&heading).chain(&self.rows);
        let mut widths = [0; N];
        for line in lines() {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.text.chars().count().max(*width);
            }
        }
        let mut text = String::new();
        for line in lines() {
            let mut gap = 0;
            for (cell, width) in line.iter().zip(widths) {
                text.extend(std::iter::repeat_n(' ', gap));
                gap = (width + 2).saturating_sub(cell.text.chars().count());
                match cell.tone.colour().filter(|_| coloured) {
                    Some(colour) => text.extend(["\x1b[", colour, "m", &cell.text, "\x1b[0m"]),
                    None => text.push_str(&cell.text),
                }
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
        text
    }
}

/// What the command prints to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    coloured: bool,
}

impl Output {
    /// With `--json` or without; coloured or not.
    pub(crate) const fn new(json: bool, coloured: bool) -> Self {
        Self { json, coloured }
    }

    /// Whether it is for a program.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// Prints a result: the JSON, or the text that the closure makes.
    pub(crate) fn result(self, json: &Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
        plain(&if self.json { format!("{json}\n") } else { text() })
    }

    /// Prints a result: the JSON, or the table (or, if it is empty, that sentence on standard error).
    pub(crate) fn table<const N: usize>(self, json: &Value, table: &Table<N>, empty: &str) -> Result<(), Failure> {
        if !self.json && table.rows.is_empty() {
            print(&mut io::stderr().lock(), &format!("{empty}\n"))
        } else {
            self.result(json, || table.render(self.coloured))
        }
    }

    /// Says something beside a result, to a person only.
    pub(crate) fn remark(self, sentence: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { print(&mut io::stderr().lock(), &format!("{}\n", visible(sentence))) }
    }

    /// Prints why the command failed.
    pub(crate) fn failure(self, failure: &Failure) {
        let text = if self.json { format!("{}\n", failure.to_json()) } else { failure.to_text() };
        // Where standard error cannot be written to, the exit code must do.
        drop(print(&mut io::stderr().lock(), &text));
    }
}

/// Prints text as it is, with `--json` too.
pub(crate) fn plain(text: &str) -> Result<(), Failure> {
    print(&mut io::stdout().lock(), text)
}

/// A reader that has read enough (`porthole sessions | head -1`) is no failure.
fn print(to: &mut impl Write, text: &str) -> Result<(), Failure> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Internal, format!("cannot print: {error}")))
        }
        _ => Ok(()),
    }
}

/// With control characters shown instead of sent.
pub(crate) fn visible(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, character| {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
        shown
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_with_and_without_colour() {
        let mut table = Table::new(["NAME", "STATE", "X"]);
        table.row(["a-long-name".into(), Cell::toned("ok", Tone::Good), "".into()]);
        table.row(["ü".into(), "running".into(), "1".into()]);
        let plain = "NAME         STATE    X\na-long-name  ok\nü            running  1\n";
        assert_eq!(table.render(false), plain);
        assert_eq!(table.render(true).replace("\x1b[32m", "").replace("\x1b[0m", ""), plain);
        assert!(table.render(true).contains("\x1b[32mok\x1b[0m"));
    }

    #[test]
    fn text_from_elsewhere_cannot_command_the_terminal() {
        let mut table = Table::new(["NAME"]);
        table.row(["\x1b[2Jgone\r\n\u{9b}1m".into()]);
        let text = table.render(false);
        assert_eq!(text.lines().count(), 2);
        assert!(!text.contains(['\x1b', '\r', '\u{9b}']) && text.contains("gone"), "{text:?}");
    }

    /// Fails as a pipe does whose reader has left, or as a full disk does.
    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_leaves_is_no_failure_but_a_full_disk_is() {
        assert_eq!(print(&mut Failing(io::ErrorKind::BrokenPipe), "x"), Ok(()));
        assert_eq!(print(&mut Failing(io::ErrorKind::StorageFull), "x").unwrap_err().exit, Exit::Internal);
    }
}
