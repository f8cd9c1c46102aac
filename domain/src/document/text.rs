//! From bytes to characters: UTF-8, and only what XML 1.0 lets a document contain.

use std::str;

use super::{DocumentError, Fault, MAX_BYTES};

const BOM: &str = "\u{feff}";

/// The text, and how many bytes a byte order mark takes at its start.
pub(super) fn decode(bytes: &[u8]) -> Result<(&str, usize), DocumentError> {
    if bytes.len() > MAX_BYTES {
        return Err(DocumentError::at(bytes, MAX_BYTES, Fault::TooLong));
    }
    // With UTF-16 or UTF-32, a mark or the first `<` shows it.
    if matches!(bytes, [0xfe, 0xff, ..] | [0xff, 0xfe, ..] | [0, ..] | [_, 0, ..]) {
        return Err(DocumentError::at(bytes, 0, Fault::Encoding("UTF-16 or UTF-32".to_owned())));
    }
    let text = str::from_utf8(bytes).map_err(|error| DocumentError::at(bytes, error.valid_up_to(), Fault::NotUtf8))?;
    if let Some((offset, bad)) = text.char_indices().find(|(_, character)| !allowed(*character)) {
        return Err(DocumentError::at(bytes, offset, Fault::Character(bad.into())));
    }
    Ok((text, if text.starts_with(BOM) { BOM.len() } else { 0 }))
}

/// XML 1.0, production 2.
pub(super) const fn allowed(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}
