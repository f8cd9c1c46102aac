use proptest::prelude::*;

use super::*;

fn refusal(xml: impl AsRef<[u8]>) -> String {
    Document::parse(xml.as_ref()).unwrap_err().to_string()
}

fn texts<'a>(document: &Document<'a>, nodes: impl Iterator<Item = Node>) -> Vec<&'a str> {
    nodes.map(|node| document.text().get(document.range(node)).unwrap()).collect()
}

#[test]
fn elements_know_where_they_stand() {
    let xml = "\u{feff}<?xml version=\"1.0\" encoding='UTF-8'?>\n<!-- <domain> -->\n\
        <domain type='kvm' xmlns:q='urn:q'>\r\n <ü a = \"1>2\"  b='&lt;&#10;'>text &amp; <b/><b></b></ü>\
        <![CDATA[<no/>]]><?pi <no/>?><q:ü/></domain >\n<!-- end -->\n";
    let document = Document::parse(xml.as_bytes()).unwrap();
    let root = document.root();
    assert!(document.text().get(document.range(root)).unwrap().ends_with("<q:ü/></domain >"));
    let inner = "<ü a = \"1>2\"  b='&lt;&#10;'>text &amp; <b/><b></b></ü>";
    assert_eq!(texts(&document, document.children(root)), [inner, "<q:ü/>"]);
    assert_eq!(texts(&document, document.named(root, "ü")), [inner]);
    let node = document.named(root, "ü").next().unwrap();
    assert_eq!(texts(&document, document.children(node)), ["<b/>", "<b></b>"]);
    assert_eq!(document.content(document.children(node).next().unwrap()), None);
    assert_eq!(document.attributes(node), [("a".to_owned(), "1>2".to_owned()), ("b".to_owned(), "<\n".to_owned())]);
    assert_eq!(document.attribute(node, "c"), None);
    let foreign = document.children(root).nth(1).unwrap();
    assert_eq!((document.space(foreign), document.name(foreign)), (Space::Foreign, "ü"));
    assert_eq!(document.plain_text(node), None);
}

#[test]
fn what_is_no_domain_in_utf_8_is_refused_with_its_place() {
    let utf16: Vec<u8> = "<domain/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (xml, expected) in [
        (b"<domain>\n <a>\xe9</a></domain>".to_vec(), "line 2, column 5: this byte is not UTF-8"),
        (utf16.clone(), "line 1, column 1: the XML is encoded as UTF-16 or UTF-32; only UTF-8 is read"),
        ([&[0xff, 0xfe], utf16.as_slice()].concat(), "UTF-16"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?><domain/>".to_vec(), "is encoded as ISO-8859-1; only UTF-8"),
    ] {
        assert!(refusal(&xml).contains(expected), "{}", refusal(&xml));
    }
    for (xml, expected) in [
        ("", "line 1, column 1: not well-formed: there is no element"),
        ("\n  ", "line 2, column 3: not well-formed: there is no element"),
        ("<network/>", "line 1, column 1: the outermost element is <network>; a libvirt domain's is <domain>"),
        ("<domain xmlns='urn:x'/>", "line 1, column 1: the outermost element is <domain>"),
        ("<domain>\n<a>\n</domain>", "line 3, column 1: not well-formed"),
        ("<domain>\n <a><b/>", "line 2, column 2: not well-formed: <a> is never closed"),
        ("<domain/>\n<domain/>", "line 2, column 1: not well-formed: there is a second outermost element"),
        ("<domain/>x", "line 1, column 10: not well-formed: there is text outside"),
        ("<domain>\n <a b='1' b='2'/></domain>", "line 2, column 2: not well-formed"),
        ("<domain>\n <a b=1/></domain>", "line 2, column 2: not well-formed"),
        ("<domain>\n <a b='<'/></domain>", "line 2, column 2: not well-formed: the value of b contains"),
        ("<domain>\n <a b='&x;'/></domain>", "line 2, column 2: not well-formed"),
        ("<domain>\nab&x;</domain>", "line 2, column 3: the entity &x; is not one of XML's own"),
        ("<domain>&#0;</domain>", "line 1, column 9: not well-formed: &#0; is no character"),
        ("<domain>a\u{1}</domain>", "line 1, column 10: the character U+0001"),
        ("<domain><!-- a -- b --></domain>", "line 1, column"),
        ("<domain>\n <!-- a </domain>", "line 2, column 2: not well-formed"),
        (" <?xml version='1.0'?><domain/>", "an XML declaration must come first"),
        ("<?xml version='1.1'?><domain/>", "XML 1.1 is not read"),
        ("<domain", "line 1, column 1: not well-formed"),
    ] {
        assert!(refusal(xml).contains(expected), "{xml}: {}", refusal(xml));
    }
}

#[test]
fn hostile_xml_is_refused() {
    let laughs =
        "<?xml version='1.0'?>\n<!DOCTYPE lolz [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;'>]>\n<domain>&b;</domain>";
    assert!(refusal(laughs).starts_with("line 2, column 1: a document type is not allowed"), "{}", refusal(laughs));
    let outside = "<!DOCTYPE domain SYSTEM 'file:///etc/passwd'><domain/>";
    assert!(refusal(outside).contains("document type"));
    let nested = |depth: usize| format!("<domain>{}{}</domain>", "<a>".repeat(depth), "</a>".repeat(depth));
    assert!(Document::parse(nested(MAX_DEPTH - 1).as_bytes()).is_ok());
    assert!(refusal(nested(MAX_DEPTH)).ends_with("elements are nested deeper than 128"));
    let many = |count: usize| format!("<domain>{}</domain>", "<a/>".repeat(count));
    assert!(Document::parse(many(MAX_ELEMENTS - 1).as_bytes()).is_ok());
    assert!(refusal(many(MAX_ELEMENTS)).contains("more than 100000 elements"));
    let long = |length: usize| format!("<domain>{}</domain>", " ".repeat(length - 17));
    assert!(Document::parse(long(MAX_BYTES).as_bytes()).is_ok());
    assert!(refusal(long(MAX_BYTES + 1)).contains("longer than 4194304 bytes"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _any = Document::parse(&bytes);
    }

    #[test]
    fn any_soup_of_tags_is_read_or_refused_and_every_range_is_an_element(
        parts in prop::collection::vec(prop::sample::select(vec![
            "<domain>", "</domain>", "<domain a='1'>", "<a>", "</a>", "<a/>", "<x:a xmlns:x='urn:x'>", "</x:a>", "&lt;", "ü",
            "<!-- c -->", "<![CDATA[<a>]]>", "<?p <a>?>", "\r\n", "<a b='>'", "/>", "&#65;", "<", ">", "]]>",
        ]), 0..40)
    ) {
        let text = format!("<domain>{}</domain>", parts.concat());
        if let Ok(document) = Document::parse(text.as_bytes()) {
            for index in 0..document.elements.len() {
                let range = document.range(Node(index));
                let element = document.text().get(range).unwrap();
                prop_assert!(element.starts_with('<') && element.ends_with('>'));
                // Read by itself it is the same element.
                if document.space(Node(index)) == Space::Plain {
                    let alone = format!("<domain>{element}</domain>");
                    let again = Document::parse(alone.as_bytes()).unwrap();
                    let only: Vec<_> = again.children(again.root()).map(|node| again.range(node)).collect();
                    prop_assert_eq!(only, vec![8..8 + element.len()]);
                }
            }
        }
    }
}
