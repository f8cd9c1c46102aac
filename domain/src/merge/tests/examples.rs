//! Domains as people and programs write them, and exactly what becomes of them.

use super::*;

#[test]
fn a_domain_without_consoles_gets_them_at_the_end_of_its_devices() {
    let xml = "<domain type='kvm'>\n    <name>web</name>\n    <devices>\n        <emulator>/usr/bin/kvm</emulator>\n    </devices>\n</domain>\n";
    let spec = spec(r#"{"vnc": {"keymap": "de"}, "serial": {"ports": 2}}"#);
    let expected = "<domain type='kvm'>
    <name>web</name>
    <uuid>7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e</uuid>
    <metadata>
        <porthole:consoles xmlns:porthole='https://porthole.dev/xmlns/consoles/1.0' transport='sealed'>
            <porthole:vnc keymap='de' share='ignore'/>
            <porthole:serial ports='2' protocol='raw' log='host'/>
        </porthole:consoles>
    </metadata>
    <devices>
        <emulator>/usr/bin/kvm</emulator>
        <serial type='unix'>
            <source mode='bind' path='/run/p/7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e-serial0.sock'/>
            <log file='/var/log/p/7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e-serial0.log' append='on'/>
            <target port='0'/>
        </serial>
        <serial type='unix'>
            <source mode='bind' path='/run/p/7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e-serial1.sock'/>
            <log file='/var/log/p/7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e-serial1.log' append='on'/>
            <target port='1'/>
        </serial>
        <graphics type='vnc' keymap='de' sharePolicy='ignore'>
            <listen type='none'/>
        </graphics>
    </devices>
</domain>
";
    assert_eq!(merged(xml, &spec), expected);
}

#[test]
fn what_a_domain_has_of_that_sort_is_replaced_where_it_stood() {
    let xml = "<domain type=\"kvm\" xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
\t<name>a&amp;b</name>  <!-- who knows -->
\t<uuid>11111111-2222-4333-8444-555555555555</uuid>
\t<metadata><nova:x xmlns:nova=\"urn:n\"/></metadata>
\t<devices>
\t\t<graphics type='spice' autoport='yes'/>
\t\t<serial type='pty'><!-- first --><target port='0'/></serial>
\t\t<console type='pty'><target type='serial' port='0'/></console>
\t\t<console type='pty'><target type='virtio' port='1'/></console>
\t\t<graphics  type = 'vnc' port='5901' passwd='letmein'>
\t\t\t<listen type='address' address='0.0.0.0'/>
\t\t</graphics>
\t\t<channel type='spicevmc'><target type='virtio'/></channel>
\t\t<console type='pty'/>
\t\t<serial type='file'><source path='/x'/></serial>
\t</devices>
\t<qemu:commandline><qemu:arg value='-serial'/></qemu:commandline>
</domain>";
    let spec = spec(r#"{"transport": "tcp", "vnc": {}, "serial": {"ports": 1, "protocol": "telnet", "log": "off"}}"#);
    let expected = "<domain type=\"kvm\" xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
\t<name>a&amp;b</name>  <!-- who knows -->
\t<uuid>11111111-2222-4333-8444-555555555555</uuid>
\t<metadata><nova:x xmlns:nova=\"urn:n\"/>
\t\t<porthole:consoles xmlns:porthole='https://porthole.dev/xmlns/consoles/1.0' transport='tcp'>
\t\t\t<porthole:vnc share='ignore'/>
\t\t\t<porthole:serial ports='1' protocol='telnet' log='off'/>
\t\t</porthole:consoles>
\t</metadata>
\t<devices>
\t\t<graphics type='spice' autoport='yes'/>
\t\t<serial type='tcp'>
\t\t\t<source mode='bind' host='127.0.0.1' service='10000'/>
\t\t\t<protocol type='telnet'/>
\t\t\t<target port='0'/>
\t\t</serial>
\t\t<console type='pty'><target type='virtio' port='1'/></console>
\t\t<graphics type='vnc' port='20000' autoport='no' listen='127.0.0.1' passwd='AAAAAAAA' sharePolicy='ignore'>
\t\t\t<listen type='address' address='127.0.0.1'/>
\t\t</graphics>
\t\t<channel type='spicevmc'><target type='virtio'/></channel>
\t</devices>
\t<qemu:commandline><qemu:arg value='-serial'/></qemu:commandline>
</domain>";
    assert_eq!(merged(xml, &spec), expected);
}

#[test]
fn one_line_stays_one_line_and_other_line_ends_stay() {
    let vnc = spec(r#"{"vnc": {}}"#);
    let metadata = "<metadata><porthole:consoles xmlns:porthole='https://porthole.dev/xmlns/consoles/1.0' transport='sealed'>\
        <porthole:vnc share='ignore'/></porthole:consoles></metadata>";
    let graphics = "<graphics type='vnc' sharePolicy='ignore'><listen type='none'/></graphics>";
    let uuid = format!("<uuid>{UUID}</uuid>");
    for (xml, expected) in [
        (
            "<domain><name>a</name></domain>",
            format!("<domain><name>a</name>{uuid}{metadata}<devices>{graphics}</devices></domain>"),
        ),
        (
            "<domain><name>a</name><devices/></domain>",
            format!("<domain><name>a</name>{uuid}{metadata}<devices>{graphics}</devices></domain>"),
        ),
        (
            "<domain><uuid/><name>a</name><metadata a='b' /><devices x='y' /></domain>",
            format!(
                "<domain>{uuid}<name>a</name>{}<devices x='y' >{graphics}</devices></domain>",
                metadata.replace("<metadata>", "<metadata a='b' >")
            ),
        ),
        (
            "<domain><name>a</name><devices> <graphics type='vnc'/> <graphics type='vnc'/> </devices></domain>",
            format!("<domain><name>a</name>{uuid}{metadata}<devices> {graphics}  </devices></domain>"),
        ),
    ] {
        assert_eq!(merged(xml, &vnc), expected, "{xml}");
    }
    let windows = merged("<domain>\r\n  <name>a</name>\r\n  <devices></devices>\r\n</domain>\r\n", &vnc);
    assert_eq!(windows.matches('\n').count(), windows.matches("\r\n").count(), "{windows:?}");
    assert!(
        windows.contains("<devices>\r\n    <graphics type='vnc' sharePolicy='ignore'>\r\n      <listen"),
        "{windows}"
    );
    assert!(windows.contains("</graphics>\r\n  </devices>\r\n</domain>\r\n"), "{windows}");
}

#[test]
fn a_sort_that_the_specification_leaves_out_is_left_alone_unless_it_was_portholes() {
    let xml = "<domain>\n  <name>a</name>\n  <devices>\n    <graphics type='vnc' port='5999'/>\n    <serial type='pty'/>\n  </devices>\n</domain>";
    let serial = merged(xml, &spec(r#"{"serial": {"ports": 1}}"#));
    assert!(serial.contains("<graphics type='vnc' port='5999'/>") && !serial.contains("pty"), "{serial}");
    let vnc = merged(xml, &spec(r#"{"vnc": {}}"#));
    assert!(!vnc.contains("5999") && vnc.contains("<serial type='pty'/>"), "{vnc}");
    // From serial to VNC: the serial ports were Porthole's, so they go.
    let then = merged(&serial, &spec(r#"{"vnc": {}}"#));
    assert!(!then.contains("<serial") && !then.contains("5999"), "{then}");
    let none = merged(xml, &spec(r#"{"serial": {"ports": 0}}"#));
    assert!(!none.contains("<serial"), "{none}");
}

#[test]
fn what_was_merged_is_removed_and_nothing_else() {
    let xml = "<domain>\n  <name>a</name>\n  <uuid>7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e</uuid>\n  <devices>\n    <disk/>\n  </devices>\n</domain>";
    let both = merged(xml, &spec(r#"{"vnc": {}, "serial": {"ports": 3}}"#));
    assert_eq!(remove(both.as_bytes()).unwrap(), xml);
    assert_eq!(remove(xml.as_bytes()).unwrap(), xml);
    let other =
        xml.replace("<devices>", "<metadata><a xmlns='urn:a'/></metadata>\n  <devices>\n    <serial type='pty'/>");
    let removed = remove(merged(&other, &spec(r#"{"vnc": {}}"#)).as_bytes()).unwrap();
    assert_eq!(removed.replace("/>\n  </metadata>", "/></metadata>"), other);
}

#[test]
fn passwords_of_earlier_merges_stay_and_others_go() {
    let tcp = spec(r#"{"transport": "tcp", "vnc": {}}"#);
    let theirs = "<domain><name>a</name><devices><graphics type='vnc' passwd='CCCCCCCC'/></devices></domain>";
    let ours = merged_with(theirs, &tcp, "AAAAAAAA");
    assert!(ours.contains("passwd='AAAAAAAA'") && !ours.contains("CCCCCCCC"), "{ours}");
    assert!(merged_with(&ours, &tcp, "BBBBBBBB").contains("passwd='AAAAAAAA'"));
    let sealed = merged_with(&ours, &spec(r#"{"vnc": {}}"#), "BBBBBBBB");
    assert!(!sealed.contains("passwd"), "{sealed}");
    assert!(merged_with(&sealed, &tcp, "BBBBBBBB").contains("passwd='BBBBBBBB'"));
}

#[test]
fn a_given_password_stays_until_another_one_is_given_or_the_rule_changes() {
    let of = |transport: &str, rule: &str| {
        spec(&format!(r#"{{"transport": "{transport}", "vnc": {{"password": "{rule}"}}}}"#))
    };
    let with = |xml: &str, spec: &ConsoleSpec, fresh: &Fresh| {
        let merged = merge(xml.as_bytes(), spec, &host(), ports(spec).as_ref(), fresh);
        let checked = check(xml.as_bytes(), spec, &fresh.passwords);
        assert_eq!(checked.err(), merged.clone().err(), "what is checked before is what comes");
        merged
    };
    let theirs = "<domain><name>a</name><devices><graphics type='vnc' passwd='theirs'/></devices></domain>";
    for transport in ["tcp", "sealed"] {
        let given = of(transport, "given");
        // What stood there before was not given to be kept.
        assert_eq!(with(theirs, &given, &fresh("AAAAAAAA")), Err(MergeError::Password(PasswordError::Missing)));
        let mine = with(theirs, &given, &giving("<&'\"> a")).unwrap();
        assert!(mine.contains("passwd='&lt;&amp;&apos;&quot;&gt; a'") && !mine.contains("theirs"), "{mine}");
        assert_eq!(read(mine.as_bytes()).unwrap().spec.as_ref(), Some(&given));
        assert!(mine.contains("<porthole:vnc share='ignore' password='given'/>"), "only the rule is noted: {mine}");

        // The same again, by somebody who does not know it, or who gives the same.
        assert_eq!(with(&mine, &given, &fresh("AAAAAAAA")).as_ref(), Ok(&mine));
        assert_eq!(with(&mine, &given, &giving("<&'\"> a")).as_ref(), Ok(&mine));
        // Other consoles, with the same screen.
        let german = with(
            &mine,
            &spec(&serde_json::to_string(&given).unwrap().replace("{\"share", "{\"keymap\":\"de\",\"share")),
            &fresh("AAAAAAAA"),
        );
        assert!(german.as_ref().unwrap().contains("passwd='&lt;&amp;&apos;&quot;&gt; a'"), "{german:?}");
        // Of another transport.
        let other = of(if transport == "tcp" { "sealed" } else { "tcp" }, "given");
        assert!(with(&mine, &other, &fresh("AAAAAAAA")).unwrap().contains("&lt;&amp;&apos;&quot;&gt; a"));

        let another = with(&mine, &given, &giving("other")).unwrap();
        assert!(another.contains("passwd='other'") && !another.contains("&lt;&amp;"), "{another}");
        let random = with(&another, &of(transport, "random"), &fresh("BBBBBBBB")).unwrap();
        assert!(random.contains("passwd='BBBBBBBB'"), "{random}");
        assert_eq!(with(&random, &given, &fresh("AAAAAAAA")), Err(MergeError::Password(PasswordError::Missing)));
        let none = with(&another, &of(transport, "none"), &fresh("BBBBBBBB")).unwrap();
        assert!(!none.contains("passwd"), "{none}");
    }
    // Read without its secrets, a domain is no basis: merged, it would have none.
    let mine = with(theirs, &of("tcp", "given"), &giving("mine")).unwrap();
    let without = mine.replace(" passwd='mine'", "");
    assert_eq!(
        with(&without, &of("tcp", "given"), &fresh("AAAAAAAA")),
        Err(MergeError::Password(PasswordError::Missing))
    );
}

#[test]
fn what_a_later_release_has_noted_is_not_lost() {
    let noted = merged("<domain><name>a</name><devices/></domain>", &spec(r#"{"vnc": {}}"#));
    for (from, to, named) in [
        ("<porthole:vnc", "<porthole:spice tls='yes'/><porthole:vnc", "<spice>"),
        ("share='ignore'", "share='ignore' audio='on'", "attribute audio"),
        ("transport='sealed'", "transport='sealed' needs='more'", "attribute needs"),
    ] {
        let later = noted.replacen(from, to, 1);
        assert_ne!(later, noted);
        for json in [r#"{"vnc": {}}"#, r#"{"serial": {"ports": 1}}"#] {
            let spec = spec(json);
            let error = merge(later.as_bytes(), &spec, &host(), None, &fresh("AAAAAAAA")).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains("Use that release"), "{error}");
        }
        assert!(remove(later.as_bytes()).unwrap_err().to_string().contains(named));
        assert!(read(later.as_bytes()).unwrap_err().to_string().contains(named));
    }
}

#[test]
fn addresses_of_either_family_are_written_as_libvirt_takes_them() {
    let tcp = spec(r#"{"transport": "tcp", "vnc": {}, "serial": {"ports": 1}}"#);
    let allocation = Allocation { address: "2001:db8::1".parse().unwrap(), ..ports(&tcp).unwrap() };
    let xml = b"<domain><name>a</name></domain>";
    let text = merge(xml, &tcp, &host(), Some(&allocation), &fresh("AAAAAAAA")).unwrap();
    for expected in ["listen='2001:db8::1'", "<listen type='address' address='2001:db8::1'/>", "host='2001:db8::1'"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let error = merge(xml, &tcp, &host(), None, &fresh("AAAAAAAA")).unwrap_err();
    assert_eq!(error, MergeError::Allocation(AllocationError::Missing));
}

#[test]
fn devices_elsewhere_are_not_the_domains() {
    let kept = "<metadata><devices xmlns='urn:x'><graphics type='vnc'/></devices><y:serial xmlns:y='urn:y'/></metadata>\
        <description>&lt;graphics type='vnc'/></description>";
    let xml = format!(
        "<domain><name>a</name>{kept}<devices><!-- <serial/> --><x><serial/></x><q:serial xmlns:q='urn:q'/>\
        <![CDATA[<serial/>]]></devices></domain>"
    );
    let text = merged(&xml, &spec(r#"{"serial": {"ports": 1, "log": "off"}}"#));
    assert!(
        text.contains(
            "<!-- <serial/> --><x><serial/></x><q:serial xmlns:q='urn:q'/><![CDATA[<serial/>]]><serial type='unix'>"
        ),
        "{text}"
    );
    assert!(text.contains("<description>&lt;graphics type='vnc'/></description>"), "{text}");
}

#[test]
fn what_libvirt_wrote_of_it_stays_as_libvirt_wrote_it() {
    let tcp = spec(r#"{"transport": "tcp", "vnc": {"keymap": "de"}, "serial": {"ports": 2, "protocol": "telnet"}}"#);
    let log = |port: u8| format!("<log file='/var/log/p/{UUID}-serial{port}.log' append='on'/>");
    let xml = format!(
        "<domain>\n<name>a</name><uuid>{UUID}</uuid><metadata><p:consoles xmlns:p=\"{}\" transport=\"tcp\">\n\
         <p:vnc keymap=\"de\" share=\"ignore\"/><p:serial ports=\"2\" protocol=\"telnet\" log=\"host\"/></p:consoles></metadata>\
         <devices><disk/>\
         <serial type='tcp'><source mode='bind' host='127.0.0.1' service='10000'/><protocol type='telnet'/>{}\
         <target type='isa-serial' port='0'><model name='isa-serial'/></target><alias name='serial0'/></serial>\
         <serial type='tcp'><source mode='bind' host='127.0.0.1' service='10001' tls='no'/><protocol type='telnet'/>{}\
         <target type='isa-serial' port='1'><model name='isa-serial'/></target></serial>\
         <console type='tcp'><source mode='bind' host='127.0.0.1' service='10000'/><protocol type='telnet'/>\
         <target type='serial' port='0'/></console>\
         <graphics type='vnc' port='20000' autoport='no' listen='127.0.0.1' keymap='de' passwd='BBBBBBBB' sharePolicy='ignore'>\
         <listen type='address' address='127.0.0.1'/></graphics></devices></domain>",
        crate::NAMESPACE,
        log(0),
        log(1),
    );
    assert_eq!(merged(&xml, &tcp), xml);
    for (from, to, expected) in [
        ("service='10001'", "service='10002'", Some(Difference::Serial)),
        ("tls='no'", "tls='yes'", Some(Difference::Serial)),
        (
            "<target type='serial' port='0'/></console>",
            "<target type='serial' port='1'/></console>",
            Some(Difference::Serial),
        ),
        ("<disk/>", "<disk/><serial type='pty'/>", Some(Difference::Serial)),
        ("port='20000'", "port='20000' websocket='5700'", Some(Difference::Vnc)),
        (" sharePolicy='ignore'", "", Some(Difference::Vnc)),
        ("passwd='BBBBBBBB'", "passwd='longer than ours'", Some(Difference::Vnc)),
        ("<disk/>", "<graphics type='vnc'/>", Some(Difference::Vnc)),
        // What is only noted is no other console.
        ("share=\"ignore\"", "share=\"force-shared\"", None),
        ("<name>a</name>", "<name>b</name>", None),
    ] {
        let changed = xml.replacen(from, to, 1);
        assert_ne!(changed, xml, "{from}");
        assert_eq!(
            until_restart(xml.as_bytes(), changed.as_bytes()).unwrap(),
            expected.into_iter().collect::<Vec<_>>()
        );
        assert_eq!(merged(&changed, &tcp) == changed, from.contains("name"), "{from} -> {to}");
    }
}
