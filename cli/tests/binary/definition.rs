//! `porthole consoles`: XML without an agent, and definitions against a stub of the agent's API.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::run::{Ran, command, run};
use crate::stub::{Reply, Stub};

const WEB: &str = "7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e";

fn definition() -> Value {
    json!({"uuid": WEB, "name": "web-01", "state": "running", "saved": true, "until_restart": ["serial", "vnc"],
        "spec": {"transport": "tcp", "vnc": {"keymap": "de", "share": "ignore"},
                 "serial": {"ports": 2, "protocol": "telnet", "log": "host"}},
        "ports": [{"device": "vnc-0", "port": 20000}, {"device": "serial-0", "port": 10000}]})
}

fn filter(arguments: &[&str], input: &[u8]) -> Ran {
    let mut child = command(&[&["consoles", "merge"], arguments].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have ended already, having refused its arguments.
    drop(child.stdin.take().unwrap().write_all(input));
    child.wait_with_output().unwrap().into()
}

#[test]
fn what_is_defined_is_told_in_words_or_json() {
    let agent = Stub::always(Reply::Json(200, definition()));
    let text = agent.run(&["consoles", "show", "web 1"]).ok().stdout;
    for words in [
        "web-01 (7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e), running",
        "vnc, share policy ignore, keymap de, password random",
        "2 serial ports, telnet, output kept on the host",
        "vnc-0 on port 20000",
        "at the guest's next start: serial, vnc.",
        "managedsave-remove",
    ] {
        assert!(text.contains(words), "{words} is missing in: {text}");
    }
    assert_eq!(agent.run(&["consoles", "show", WEB, "--json"]).ok().stdout, format!("{}\n", definition()));
    let lines: Vec<_> = agent.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(lines, ["GET /v1/consoles/web%201/definition", &format!("GET /v1/consoles/{WEB}/definition")]);
}

#[test]
fn what_a_later_agent_says_of_a_specification_is_shown_as_it_is() {
    let mut later = definition();
    later["spec"] = json!({"transport": "tcp", "spice": {}});
    let agent = Stub::always(Reply::Json(200, later));
    assert!(agent.run(&["consoles", "show", "web"]).ok().stdout.contains(r#"{"spice":{},"transport":"tcp"}"#));
}

#[test]
fn what_is_asked_for_is_put_and_taken_away() {
    let agent = Stub::start(|seen| {
        Reply::Json(200, json!({"changed": seen.line.starts_with("PUT"), "definition": definition()}))
    });
    let line = ["consoles", "apply", "web", "--vnc", "--serial-from-flavor", "3", "--serial-from-image", "2"];
    assert!(agent.run(&line).ok().stdout.starts_with("The definition was changed.\n"));
    assert!(agent.run(&["consoles", "remove", "web"]).ok().stdout.starts_with("The definition is so already"));
    let seen = agent.seen();
    assert_eq!(seen[0].line, "PUT /v1/consoles/web/definition");
    let expected = json!({"transport": "sealed", "vnc": {"share": "ignore"},
        "serial": {"ports": 2, "protocol": "raw", "log": "host"}});
    assert_eq!(seen[0].body, expected);
    assert_eq!(seen[1].line, "DELETE /v1/consoles/web/definition");
    // Nothing is asked for, so nothing is asked.
    agent.run(&["consoles", "apply", "web"]).failed(1).saying(&["--vnc, --serial"]);
    assert_eq!(agent.seen().len(), 2);
}

#[test]
fn bad_xml_is_refused_with_its_place_and_nothing_is_printed() {
    for (input, words) in [
        (&b"<domain>\n <name>a</name\n</domain>"[..], "standard input, line 2, column"),
        (b"<!DOCTYPE d SYSTEM 'file:///etc/passwd'>\n<domain/>", "line 1, column 1: a document type is not allowed"),
        (b"<domain>\n<name>\xe9</name></domain>", "line 2, column 7: this byte is not UTF-8"),
        (b"<network/>", "a libvirt domain's is <domain>"),
        (b"", "there is no element"),
    ] {
        let ran = filter(&["--vnc"], input);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
    let deep = format!("<domain>{}", "<a>".repeat(100_000));
    assert!(filter(&["--vnc"], deep.as_bytes()).stderr.contains("nested deeper than 128"));
}

#[test]
fn filters_need_no_agent_and_name_what_does_not_fit() {
    let ran = filter(&["--vnc", "--uuid", WEB], b"<domain><name>a</name></domain>");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains(WEB) && ran.stdout.contains("<listen type='none'/>"), "{}", ran.stdout);
    let render = |more: &[&str]| run(&[&["consoles", "render", "--uuid", WEB], more].concat());
    assert!(render(&["--serial", "1"]).ok().stdout.contains("/run/porthole-consoles/7c5d4b9e"));
    for (more, words) in [
        (&["--vnc", "--transport", "tcp"][..], "a screen on TCP needs a port"),
        (&["--vnc", "--port-vnc", "5900"], "listen on no port"),
        (&["--serial-from-flavor", "1", "--serial-from-image", "2"], "its flavor allows 1"),
        (&["--serial", "1", "--sockets", "/run/a/folder/that/is/much/too/deep/for/the/paths/of/sockets"], "too deep"),
    ] {
        let ran = render(more);
        assert!(ran.code != 0 && ran.stderr.contains(words), "{more:?}: {}", ran.stderr);
    }
}

#[test]
fn a_password_comes_out_of_a_file_and_goes_nowhere_but_to_the_screen() {
    let folder = tempfile::tempdir().unwrap();
    let file = |text: &str| {
        let path = folder.path().join("password");
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let good = file("s3<ret'\n");
    let render = |more: &[&str]| run(&[&["consoles", "render", "--uuid", WEB, "--vnc"], more].concat());
    let shown = render(&["--vnc-password-file", &good]).ok().stdout;
    assert!(shown.contains("passwd='s3&lt;ret&apos;'") && shown.contains("password='given'"), "{shown}");
    let merged = filter(&["--vnc", "--vnc-password-file", &good], b"<domain><name>a</name></domain>");
    assert!(merged.stdout.contains("passwd='s3&lt;ret&apos;'"), "{}", merged.stderr);
    // Later nobody has to know it.
    let again = filter(&["--vnc", "--vnc-password-rule", "given"], merged.stdout.as_bytes());
    assert_eq!((again.code, &again.stdout), (0, &merged.stdout), "{}", again.stderr);

    let agent = Stub::always(Reply::Json(200, json!({"changed": true, "definition": definition()})));
    agent.run(&["consoles", "apply", "web", "--vnc", "--vnc-password-file", &good]).ok();
    let expected = json!({"transport": "sealed", "vnc": {"share": "ignore", "password": "given"},
        "vnc_password": "s3<ret'"});
    assert_eq!(agent.seen()[0].body, expected);

    for (text, words) in [
        ("", "the VNC password is empty"),
        ("secret-and-long\n", "looks at the first 8 characters"),
        ("s3cr\u{e9}t\n", "not a printable one of ASCII"),
        ("s3cret\nmore\n", "not a printable one of ASCII"),
    ] {
        let ran = render(&["--vnc-password-file", &file(text)]).failed(1).saying(&[words]);
        assert!(!ran.stderr.contains("s3cr") && !ran.stderr.contains("secret-and"), "{}", ran.stderr);
    }
    let good = file("s3cret\n");
    for (more, words) in [
        (&["--vnc-password-rule", "given"][..], "none is given now"),
        (&["--vnc-password-file", &good, "--vnc-password-rule", "none"], "a screen that is to have none"),
    ] {
        render(more).failed(1).saying(&[words, "--vnc-password-file"]);
    }
    render(&["--vnc-password-file", "/nowhere/at/all"]).failed(1).saying(&["/nowhere/at/all: No such file"]);
    run(&["consoles", "apply", "web", "--serial", "1", "--vnc-password-file", &good]).failed(2).saying(&["--vnc"]);
    let ran = filter(&["--vnc", "--vnc-password-file", "-"], b"<domain><name>a</name></domain>");
    assert!(ran.code == 1 && ran.stderr.contains("standard input is the domain's XML here"), "{}", ran.stderr);
    let ran = run(&["consoles", "apply", "web", "--vnc", "--vnc-password-rule", "hunter2"]).failed(2);
    assert!(ran.stderr.contains("use random, none or given"), "{}", ran.stderr);
}
