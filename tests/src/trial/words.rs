//! What the trial stack says to a person.

use std::path::Path;

use serde_json::Value;

use super::Reach;

/// What a person does with a stack in the background.
pub fn first_steps(stack: &Value, description: &Path) -> String {
    format!(
        "The stack runs; {} says where everything is.\n\
         \x20 a console's URL   {} --socket {} url {}\n\
         \x20 its libvirt       virsh -c '{}' list\n\
         \x20 end it            make down",
        description.display(),
        word(stack, "/bin/porthole"),
        word(stack, "/agent/socket"),
        word(stack, "/domains/0/name"),
        word(stack, "/libvirt_uri"),
    )
}

/// What `make demo` says once the stack stands. The link comes last, where a person looks.
pub(super) fn welcome(stack: &Value, reach: &Reach, link: &str) -> String {
    let certificate = word(stack, "/edge/ca");
    let base = word(stack, "/edge/url");
    let port = stack.pointer("/edge/port").and_then(Value::as_u64).unwrap_or_default();
    let binaries = Path::new(word(stack, "/bin/porthole")).parent().unwrap_or(Path::new("."));
    let sections = [
        (
            "In the browser",
            "Type into the guest's shell. Ctrl-Alt-Del from the page's menu reboots it; the session goes on.\n\
             F5 keeps the session. In a second browser the same link is refused: it belongs to the first.\n\
             `poweroff` ends the session, and the page says why; Enter here starts the guest again."
                .to_owned(),
        ),
        (
            "In another terminal",
            format!(
                "export PORTHOLE_SOCKET={} PATH={}:$PATH\n\
                 porthole sessions            # who is connected\n\
                 porthole sessions kill ID    # end that session; the page says so\n\
                 porthole url demo-serial     # a link to the other guest",
                word(stack, "/agent/socket"),
                binaries.display(),
            ),
        ),
        (
            "The certificate is the demo's own, so browsers warn: go on (Advanced, Proceed or Accept the Risk), or trust it",
            format!(
                "CERT={certificate}\n\
                 curl --cacert $CERT {base}/\n\
                 DB=$HOME/.pki/nssdb; [ -d $DB ] || DB=$HOME/.local/share/pki/nssdb; mkdir -p $DB\n\
                 certutil -d sql:$DB -A -t P,, -n porthole-demo -i $CERT    # Chromium's list; package libnss3-tools\n\
                 certutil -d sql:$DB -D -n porthole-demo                    # forgets it"
            ),
        ),
        ("From another machine", elsewhere(reach, port)),
    ];
    let mut text = vec!["\nPorthole runs, with two QEMU guests.".to_owned()];
    for (title, lines) in sections {
        text.extend([String::new(), format!("{title}:"), indented(&lines)]);
    }
    let remarks = [
        reach.surprise(u16::try_from(port).unwrap_or_default()),
        (stack["linux"] == false)
            .then(|| "Without the Linux guest (see above) a tiny one of our own shows its screen.".to_owned()),
        stack["edge"]["pages"].is_null().then(|| {
            "The pages are not built (`make web`): browsers see a plain message, WebSocket clients work.".to_owned()
        }),
    ];
    if remarks.iter().any(Option::is_some) {
        text.push(String::new());
    }
    text.extend(remarks.into_iter().flatten());
    text.extend(["\nOpen this in a browser:\n".to_owned(), indented(link), String::new()]);
    text.push("It is good for one browser, within 10 minutes. Enter: another link. Ctrl-C: end everything.".to_owned());
    text.join("\n")
}

/// How a browser elsewhere gets here.
fn elsewhere(reach: &Reach, port: u64) -> String {
    match &reach.host {
        Some(host) => format!("This stack's links are for {host}; they work wherever that name leads here."),
        None => format!(
            "ssh -L {port}:localhost:{port} USER@{}    # there; then open the link there\n\
             make demo LISTEN=0.0.0.0 HOST=$(hostname -f)    # here, instead: the links are for that name",
            hostname()
        ),
    }
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or("THIS-HOST".to_owned(), |name| name.trim().to_owned())
}

/// The text at this place of `stack.json`.
pub(super) fn word<'a>(stack: &'a Value, pointer: &str) -> &'a str {
    stack.pointer(pointer).and_then(Value::as_str).unwrap_or("?")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
