//! Changes of a text by byte ranges: what no range covers stays as it was.

use std::ops::Range;

/// One change: these bytes become that text. An empty range inserts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edit {
    range: Range<usize>,
    text: String,
}

/// Changes of one text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Edits(Vec<Edit>);

/// Two changes concern the same bytes, or bytes that the text has not: whoever made them is wrong about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the change of bytes {} to {} fits neither the text nor the other changes", .0.start, .0.end)]
pub struct EditError(Range<usize>);

impl Edits {
    /// Puts a text in the place of these bytes.
    pub(crate) fn replace(&mut self, range: Range<usize>, text: impl Into<String>) {
        self.0.push(Edit { range, text: text.into() });
    }

    /// Puts a text before that byte, behind what was inserted there before.
    pub(crate) fn insert(&mut self, at: usize, text: impl Into<String>) {
        self.replace(at..at, text);
    }

    /// Takes these bytes out.
    pub(crate) fn delete(&mut self, range: Range<usize>) {
        self.replace(range, "");
    }

    /// The text with all changes.
    pub(crate) fn apply(mut self, text: &str) -> Result<String, EditError> {
        // Stable: insertions at one place stay in their order.
        self.0.sort_by_key(|edit| (edit.range.start, edit.range.end));
        let mut result = String::with_capacity(text.len() + self.0.iter().map(|edit| edit.text.len()).sum::<usize>());
        let mut done = 0;
        for edit in self.0 {
            let kept = text.get(done..edit.range.start).ok_or_else(|| EditError(edit.range.clone()))?;
            result.push_str(kept);
            result.push_str(&edit.text);
            done = edit.range.end;
        }
        result.push_str(text.get(done..).ok_or(EditError(done..done))?);
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn changes_apply_in_order_of_place() {
        let mut edits = Edits::default();
        edits.delete(4..6);
        edits.insert(0, "1");
        edits.insert(6, "4");
        edits.replace(2..3, "3");
        edits.insert(0, "2");
        assert_eq!(edits.apply("abcdefgh").unwrap(), "12ab3d4gh");
    }

    #[test]
    fn what_overlaps_or_lies_outside_is_refused() {
        for (first, second) in [(0..3, 2..4), (0..9, 0..0), (9..9, 0..0), (1..2, 0..0)] {
            let mut edits = Edits::default();
            edits.delete(first.clone());
            edits.delete(second);
            assert!(edits.apply("üabc").is_err(), "{first:?}");
        }
    }

    proptest! {
        #[test]
        fn what_no_range_covers_stays(parts in prop::collection::vec(("\\PC{0,9}", "\\PC{0,5}", "\\PC{0,5}"), 0..8), last in "\\PC{0,9}") {
            let (mut text, mut expected, mut edits) = (String::new(), String::new(), Edits::default());
            for (kept, old, new) in &parts {
                text.push_str(kept);
                expected.push_str(kept);
                edits.replace(text.len()..text.len() + old.len(), new.as_str());
                text.push_str(old);
                expected.push_str(new);
            }
            prop_assert_eq!(edits.apply(&(text + &last)).unwrap(), expected + &last);
        }
    }
}
