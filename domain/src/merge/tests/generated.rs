//! Any domain: what is not a console of Porthole's stays as it was, and merging again changes nothing.

use super::*;

/// A piece of a domain: what must come out as it went in, or what may go.
#[derive(Debug, Clone)]
enum Piece {
    Kept(String),
    /// A VNC device.
    Vnc(&'static str),
    /// A serial port.
    Serial(&'static str),
}

fn blank() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        "\n",
        "\n  ",
        "\n    ",
        "\n\t",
        " ",
        "\r\n  ",
        "\n\n      ",
        "<!-- c -->",
        "\n    <!-- <serial/> -->",
        "\n<?pi a?>",
    ])
}

fn device() -> impl Strategy<Value = Piece> {
    let kept = vec![
        "<disk type='file' device=\"disk\">\n<source file='/a&amp;b&#10;&apos;.img'/></disk>",
        "<graphics type='spice' autoport='yes'><listen type='none'/></graphics>",
        "<graphics type=\"sdl\"/>",
        "<console type='pty'><target type='virtio' port='0'/></console>",
        "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>",
        "<x:serial xmlns:x='urn:x'/>",
        "<hostdev><serial/></hostdev>",
        "<emulator   a = 'ü'\n  b=\"'\"   ></emulator >",
        "<![CDATA[<serial/>]]>",
        "text &lt;serial/&gt;",
    ];
    let vnc = vec![
        "<graphics type='vnc'/>",
        "<graphics port='5900'\n type=\"vnc\" ><listen type='address'/><!-- x --></graphics>",
        "<graphics type='vn&#99;' passwd='12345678'/>",
    ];
    let serial = vec![
        "<serial type='pty'/>",
        "<serial type='tcp'>\n<source mode='bind' host='::' service='1'/><target port='3'/></serial>",
        "<console type='pty'><target type='serial' port='0'/></console>",
        "<console/>",
    ];
    prop_oneof![
        4 => prop::sample::select(kept).prop_map(|text| Piece::Kept(text.to_owned())),
        1 => prop::sample::select(vnc).prop_map(Piece::Vnc),
        1 => prop::sample::select(serial).prop_map(Piece::Serial),
    ]
}

fn head() -> impl Strategy<Value = (bool, String)> {
    let declaration =
        prop::sample::select(vec!["", "<?xml version='1.0' encoding='utf-8'?>\n", "\u{feff}", "<!-- by hand -->\n"]);
    let more = prop::sample::select(vec![
        "",
        "<description>a &lt; b</description>",
        "<metadata/>",
        "\n  <metadata>\n    <nova:instance xmlns:nova='urn:n'/>\n  </metadata>",
        "\n  <metadata></metadata>",
        "<os><type arch='x86_64'>hvm</type></os>",
    ]);
    let uuid = prop::sample::select(vec!["", "<uuid>11111111-2222-4333-8444-555555555555</uuid>", "<uuid/>"]);
    (declaration, blank(), blank(), uuid, blank(), more).prop_map(|(declaration, a, b, uuid, c, more)| {
        let head =
            format!("{declaration}<domain type='kvm' xmlns:qemu=\"http://q\">{a}<name>n</name>{b}{uuid}{c}{more}");
        (uuid.len() > 7, head)
    })
}

fn any_spec() -> impl Strategy<Value = ConsoleSpec> {
    let vnc = prop::sample::select(vec![
        "",
        r#", "vnc": {}"#,
        r#", "vnc": {"keymap": "de", "share": "force-shared"}"#,
        r#", "vnc": {"password": "random"}"#,
    ]);
    let serial = prop::sample::select(vec![
        "",
        r#", "serial": {"ports": 0}"#,
        r#", "serial": {"ports": 1, "log": "off"}"#,
        r#", "serial": {"ports": 4, "protocol": "telnet"}"#,
    ]);
    (prop::sample::select(vec!["tcp", "sealed"]), vnc, serial)
        .prop_map(|(transport, vnc, serial)| spec(&format!(r#"{{"transport": "{transport}"{vnc}{serial}}}"#)))
}

/// A text's parts that must come out, in their order.
fn holds_in_order(text: &str, parts: &[String]) -> Result<(), String> {
    let mut rest = text;
    for part in parts {
        let at = rest.find(part.as_str()).ok_or_else(|| format!("{part:?} is gone or elsewhere"))?;
        rest = &rest[at + part.len()..];
    }
    Ok(())
}

/// What a text would be without its white space: what merging may put or take around devices.
fn squeezed(text: &str) -> String {
    text.split_ascii_whitespace().collect()
}

proptest! {
    #[test]
    fn what_is_not_portholes_stays_and_merging_again_changes_nothing(
        (has_uuid, head) in head(),
        devices in prop::collection::vec((blank(), device()), 0..12),
        (open, close) in prop::sample::select(vec![("\n  <devices>", "\n  </devices>"), ("<devices>", "</devices>"), ("\n<devices >", "</devices >")]),
        tail in blank(),
        first in any_spec(),
        second in any_spec(),
    ) {
        let body: String = devices.iter().map(|(blank, piece)| match piece {
            Piece::Kept(text) => format!("{blank}{text}"),
            Piece::Vnc(text) | Piece::Serial(text) => format!("{blank}{text}"),
        }).collect();
        let end = "\n  <qemu:commandline>\n <qemu:arg value = '-s'/></qemu:commandline>\n</domain>\n<!-- end -->";
        let xml = format!("{head}{open}{body}{tail}{close}{end}");
        let text = merged(&xml, &first);

        let mut parts = Vec::new();
        for (blank, piece) in &devices {
            if !blank.trim().is_empty() {
                parts.push(blank.trim_start().to_owned());
            }
            match piece {
                Piece::Kept(text) => parts.push(text.clone()),
                Piece::Vnc(text) if first.vnc.is_none() => parts.push((*text).to_owned()),
                Piece::Serial(text) if first.serial.is_none() => parts.push((*text).to_owned()),
                Piece::Vnc(_) | Piece::Serial(_) => {}
            }
        }
        parts.push(close.trim_start().to_owned());
        parts.push(end.to_owned());
        holds_in_order(&text, &parts).map_err(TestCaseError::fail)?;

        // Without what was put in, it is what it was without what was taken out, but for white space.
        let password = fresh("AAAAAAAA").passwords.choose(first.password(), None).unwrap();
        let uuid = read(text.as_bytes()).unwrap().uuid.unwrap();
        let wanted = Wanted::of(&first, uuid, &host(), ports(&first).as_ref(), password.as_ref()).unwrap();
        let mut left = squeezed(&text);
        for tag in wanted.serial.iter().chain(&wanted.vnc).chain([&wanted.metadata]) {
            let put = squeezed(&tag.text(&Layout::standard(), ""));
            prop_assert_eq!(left.matches(&put).count(), 1, "{}", text);
            left = left.replacen(&put, "", 1);
        }
        let mut before = squeezed(&head);
        if !has_uuid {
            left = left.replacen(&format!("<uuid>{UUID}</uuid>"), "", 1);
            before = before.replacen("<uuid/>", "", 1);
        }
        // `<metadata/>` may have been made, or opened.
        let plain = |text: &str| text.replace("<metadata/>", "").replace("<metadata></metadata>", "");
        let mut expected = format!("{}{}", plain(&before), squeezed(open));
        for (blank, piece) in &devices {
            expected.push_str(&squeezed(blank));
            match piece {
                Piece::Kept(text) => expected.push_str(&squeezed(text)),
                Piece::Vnc(text) if first.vnc.is_none() => expected.push_str(&squeezed(text)),
                Piece::Serial(text) if first.serial.is_none() => expected.push_str(&squeezed(text)),
                Piece::Vnc(_) | Piece::Serial(_) => {}
            }
        }
        expected.push_str(&squeezed(&format!("{tail}{close}{end}")));
        prop_assert_eq!(plain(&left), expected);

        // Whatever it was before, a specification has one outcome of devices.
        let changed = merged(&text, &second);
        let back = merged(&changed, &first);
        prop_assert_eq!(read(back.as_bytes()).unwrap(), read(text.as_bytes()).unwrap());
        let gone = remove(back.as_bytes()).unwrap();
        prop_assert_eq!(read(gone.as_bytes()).unwrap().spec, None);
        prop_assert_eq!(remove(gone.as_bytes()).unwrap(), gone);
    }

    #[test]
    fn any_soup_of_devices_merges_to_something_that_merges_again_or_is_refused(
        parts in prop::collection::vec(prop::sample::select(vec![
            "<devices>", "</devices>", "<devices/>", "<serial>", "</serial>", "<serial/>", "<graphics type='vnc'/>", "<metadata>", "</metadata>",
            "<console>", "</console>", "<target type='serial'/>", "\n  ", "\n", " ", "x", "<!-- c -->", "<name>m</name>", "<uuid/>",
            "<p:consoles xmlns:p='https://porthole.dev/xmlns/consoles/1.0' transport='tcp'/>",
        ]), 0..30),
        spec in any_spec(),
    ) {
        let xml = format!("<domain>{}<name>n</name></domain>", parts.concat());
        if merge(xml.as_bytes(), &spec, &host(), ports(&spec).as_ref(), &fresh("AAAAAAAA")).is_ok() {
            merged(&xml, &spec);
        }
    }
}
