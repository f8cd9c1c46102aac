//! Walks over the devices in a domain's XML. Pure: text in, elements out; what they mean is for whoever asks.
//!
//! The XML is libvirt's, but names, descriptions and metadata in it are a tenant's, so it is read as a stranger's: bounded
//! in length and depth, without a document type, and no entity but XML's own five is resolved. Elements with a prefix
//! (metadata, `qemu:commandline`) have another name than libvirt's own, and are never taken for them.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use crate::hypervisor::MAX_XML_BYTES;

/// The deepest nesting that is read. libvirt's own is below 10; metadata may hold anything.
pub(super) const MAX_DEPTH: usize = 128;

/// The XML cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// It is no well-formed XML.
    #[error("the domain's XML is not well-formed near byte {position}: {message}")]
    Malformed {
        /// About where.
        position: u64,
        /// What.
        message: String,
    },
    /// It is beyond what is read.
    #[error("the domain's XML has too many or too deep elements, or too many bytes")]
    TooLarge,
    /// It has a document type, which libvirt does not write.
    #[error("the domain's XML has a document type")]
    DocumentType,
}

/// Why the walk ends before the end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// There is more than is read.
    TooLarge,
    /// An element is malformed.
    Malformed(String),
}

impl From<String> for Stop {
    fn from(message: String) -> Self {
        Self::Malformed(message)
    }
}

/// Calls back for each element of `/domain/devices`, and for each right in one of those: with the name of the device
/// that it is in, or `None` for a device itself.
pub(crate) fn walk(
    xml: &str,
    mut each: impl FnMut(Option<&str>, &BytesStart<'_>) -> Result<(), Stop>,
) -> Result<(), XmlError> {
    if xml.len() > MAX_XML_BYTES {
        return Err(XmlError::TooLarge);
    }
    let mut reader = Reader::from_str(xml);
    reader.config_mut().expand_empty_elements = true;
    let mut depth = 0_usize;
    let (mut in_domain, mut in_devices, mut device) = (false, false, String::new());
    loop {
        let position = reader.buffer_position();
        let malformed = |message: String| XmlError::Malformed { position, message };
        match reader.read_event().map_err(|error| malformed(error.to_string()))? {
            Event::Start(element) => {
                let name = element.name().0;
                let seen = match depth {
                    0 => {
                        in_domain = name == "domain";
                        Ok(())
                    }
                    1 => {
                        in_devices = in_domain && name == "devices";
                        Ok(())
                    }
                    2 if in_devices => {
                        name.clone_into(&mut device);
                        each(None, &element)
                    }
                    3 if in_devices => each(Some(&device), &element),
                    _ => Ok(()),
                };
                seen.map_err(|stop| match stop {
                    Stop::TooLarge => XmlError::TooLarge,
                    Stop::Malformed(message) => malformed(message),
                })?;
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(XmlError::TooLarge);
                }
            }
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::DocType(_) => return Err(XmlError::DocumentType),
            Event::Eof if depth == 0 => return Ok(()),
            Event::Eof => return Err(malformed("it ends within an element".to_owned())),
            Event::Empty(_)
            | Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::GeneralRef(_) => {}
        }
    }
}

/// An attribute's value.
pub(crate) fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>, String> {
    let Some(attribute) = element.try_get_attribute(name).map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    let value = attribute.normalized_value(XmlVersion::default()).map_err(|error| error.to_string())?;
    Ok(Some(value.into_owned()))
}
