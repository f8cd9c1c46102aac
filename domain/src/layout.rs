//! How a document lays out its lines, so that what is put into it looks as if it had always been there.

use std::ops::Range;

use crate::document::{Document, Node};
use crate::edit::Edits;

/// What one more level is indented by where the document does not say.
const DEFAULT_UNIT: &str = "  ";

/// What XML calls white space.
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// How a document indents.
///
/// A *lead* is what stands between the line before an element and the element: a line break and blanks. It is empty
/// where the element is not the first thing in its line; what is put there stays on that line, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// What one more level is indented by.
    unit: String,
}

impl Layout {
    /// That of the document in which a child of the outermost element stands so.
    pub(crate) fn of(document: &Document<'_>, child_of_root: Node) -> Self {
        let lead = lead(document, child_of_root);
        let unit = if lead.is_empty() { DEFAULT_UNIT } else { lead.trim_start_matches(['\r', '\n']) };
        Self { unit: unit.to_owned() }
    }

    /// For text that stands in no document.
    pub(crate) fn standard() -> Self {
        Self { unit: DEFAULT_UNIT.to_owned() }
    }

    /// The lead of what is within an element with that lead.
    pub(crate) fn deeper(&self, lead: &str) -> String {
        if lead.is_empty() { String::new() } else { format!("{lead}{}", self.unit) }
    }
}

/// Appends to what is in an element, which may be empty: `body` begins with `within`, the lead of its elements.
pub(crate) fn append(edits: &mut Edits, document: &Document<'_>, parent: Node, within: &str, body: &str) {
    let outer = lead(document, parent);
    let text = document.text();
    let Some(content) = document.content(parent) else {
        // `<devices/>` becomes `<devices>…</devices>`; whatever attributes it has stay.
        let end = document.range(parent).end;
        let slash = text.get(..end).and_then(|before| before.rfind('/')).unwrap_or(end);
        edits.replace(slash..end, format!(">{body}{outer}</{}>", document.name(parent)));
        return;
    };
    let inner = text.get(content.clone()).unwrap_or_default();
    let used = inner.trim_end_matches(BLANKS).len();
    let (at, tail) = (content.start + used, inner.get(used..).unwrap_or_default());
    let closing = if within.is_empty() || tail.contains('\n') { "" } else { outer };
    edits.insert(at, format!("{body}{closing}"));
}

/// The lead of an element.
pub(crate) fn lead<'a>(document: &Document<'a>, node: Node) -> &'a str {
    let before = document.text().get(..document.range(node).start).unwrap_or_default();
    let line = before.trim_end_matches([' ', '\t']);
    let Some(above) = line.strip_suffix('\n') else { return "" };
    let above = above.strip_suffix('\r').unwrap_or(above);
    before.get(above.len()..).unwrap_or_default()
}

/// An element, the rest of the line before it, and empty lines above: what goes when the element goes.
pub(crate) fn with_lead(document: &Document<'_>, node: Node) -> Range<usize> {
    let range = document.range(node);
    if lead(document, node).is_empty() {
        return range;
    }
    let before = document.text().get(..range.start).unwrap_or_default();
    before.trim_end_matches(BLANKS).len()..range.end
}
