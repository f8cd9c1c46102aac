//! Consoles that the agent writes into domains of a real libvirt: applied, shown, started, opened, removed.

use http::Method;
use porthole_tests::agent::{Agent, Mint, consoles_of};
use porthole_tests::command;
use porthole_tests::guest::{Graphics, Listen, NAMESPACE, Serial, assert_says_hello};
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::ports::free_port;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{define, try_consoles, write};

/// The agent on that libvirt, with the host's folders where it may write.
pub(crate) async fn stack(libvirt: &PrivateLibvirt) -> Stack {
    Stack::builder().libvirt(libvirt).agent(consoles_of(libvirt)).start().await
}

/// A domain that is defined and does not run, with secrets that are none of ours.
pub(crate) async fn defined(libvirt: &PrivateLibvirt) -> Uuid {
    let uuid = Uuid::new_v4();
    let guest = libvirt.guest("applied").uuid(uuid);
    let xml = guest.graphics([Graphics::vnc(Listen::Tcp(free_port()))]).serials([Serial::Pty]).xml().unwrap();
    let spice =
        "<graphics type='spice' autoport='yes' passwd='theirs'><listen type='address' address='127.0.0.1'/></graphics>";
    let xml = xml.replace("</devices>", &format!("<!-- kept --><channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>{spice}</devices>"));
    define(libvirt, &xml).await.unwrap();
    uuid
}

/// Runs `porthole consoles …` at that agent; its JSON.
pub(crate) async fn porthole(agent: &Agent, arguments: &[&str]) -> Value {
    command::porthole(agent, &[&["--json", "consoles"], arguments].concat()).await.json()
}

pub(crate) async fn dump(libvirt: &PrivateLibvirt, uuid: Uuid) -> String {
    libvirt.virsh(&["dumpxml", "--inactive", "--security-info", &uuid.to_string()]).await.unwrap()
}

/// The ports that the table has for a domain.
async fn ports_of(agent: &Agent, uuid: Uuid) -> Vec<u64> {
    let (_, answer) = agent.api(Method::GET, "/v1/ports?limit=500", None).await.unwrap();
    let own = |port: &&Value| port["owner"]["domain"] == uuid.to_string();
    answer["ports"].as_array().unwrap().iter().filter(own).map(|port| port["port"].as_u64().unwrap()).collect()
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

#[tokio::test]
async fn tcp_then_sealed_then_none() {
    let libvirt = PrivateLibvirt::start().await;
    let (stack, uuid) = (stack(&libvirt).await, defined(&libvirt).await);
    let (name, before) = (uuid.to_string(), dump(&libvirt, uuid).await);
    let tcp = ["apply", &name, "--vnc", "--keymap", "de", "--serial", "2", "--transport", "tcp"];

    // On ports, from its next start on; applied again, nothing changes.
    let applied = porthole(&stack.agent, &tcp).await;
    assert_eq!((&applied["changed"], &applied["definition"]["until_restart"]), (&json!(true), &json!([])), "{applied}");
    let port = |index: usize| applied["definition"]["ports"][index]["port"].as_u64().unwrap();
    let (screen, serial) = (port(0), u16::try_from(port(1)).unwrap());
    let once = dump(&libvirt, uuid).await;
    for expected in [format!("port='{screen}'"), format!("service='{serial}'"), "passwd='theirs'".to_owned()] {
        assert!(once.contains(&expected), "{expected}: {once}");
    }
    let again = porthole(&stack.agent, &tcp).await;
    assert_eq!((&again["changed"], &again["definition"]), (&json!(false), &applied["definition"]));
    assert_eq!(dump(&libvirt, uuid).await, once);

    // It starts so, and is not asked to start anew for what it has.
    libvirt.virsh(&["start", &name]).await.unwrap();
    let shown = porthole(&stack.agent, &["show", &name]).await;
    assert_eq!(words(&shown["until_restart"]), Vec::<&str>::new(), "{}", dump(&libvirt, uuid).await);
    assert_eq!((&shown["state"], &shown["ports"]), (&json!("running"), &applied["definition"]["ports"]));
    assert!(stack.view(Mint::of(uuid)).await.full_frame().await.unwrap().width > 0);
    assert_says_hello(&stack, &stack.agent, uuid, 0).await;

    // Sealed: what runs goes on as it is, ports included, until it has stopped.
    let sealed = ["apply", &name, "--vnc", "--serial", "1"];
    let applied = porthole(&stack.agent, &sealed).await;
    assert_eq!(words(&applied["definition"]["until_restart"]), ["serial", "vnc"], "{applied}");
    assert_eq!(porthole(&stack.agent, &sealed).await["changed"], json!(false));
    assert_eq!(ports_of(&stack.agent, uuid).await.len(), 3);
    assert!(stack.view(Mint::of(uuid)).await.full_frame().await.unwrap().width > 0);
    libvirt.virsh(&["destroy", &name]).await.unwrap();
    eventually(PATIENCE, "the ports to be free", async || {
        // Also autoport's of the SPICE that is not ours, which a running guest has.
        ports_of(&stack.agent, uuid).await.iter().all(|port| *port != screen && *port != u64::from(serial))
    })
    .await;
    libvirt.virsh(&["start", &name]).await.unwrap();
    assert_eq!(words(&porthole(&stack.agent, &["show", &name]).await["until_restart"]), Vec::<&str>::new());
    assert!(stack.view(Mint::of(uuid)).await.full_frame().await.unwrap().width > 0);
    assert_says_hello(&stack, &stack.agent, uuid, 0).await;

    // Away: nothing of ours is left, and what was not ours is as it was.
    let removed = porthole(&stack.agent, &["remove", &name]).await;
    assert_eq!(words(&removed["definition"]["until_restart"]), ["serial", "vnc"], "{removed}");
    assert_eq!((&removed["changed"], &removed["definition"]["spec"]), (&json!(true), &Value::Null));
    assert_eq!(porthole(&stack.agent, &["remove", &name]).await["changed"], json!(false));
    libvirt.virsh(&["destroy", &name]).await.unwrap();
    let after = dump(&libvirt, uuid).await;
    assert!(
        !after.contains("porthole:consoles") && !after.contains("<serial") && !after.contains("type='vnc'"),
        "{after}"
    );
    let without = |xml: &str| {
        let mut rest = xml.to_owned();
        for (open, close) in
            [("<serial ", "</serial>"), ("<console ", "</console>"), ("<graphics type='vnc'", "</graphics>")]
        {
            while let Some(start) = rest.find(open) {
                let end = start + rest[start..].find(close).unwrap() + close.len();
                rest.replace_range(start..end, "");
            }
        }
        rest.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(without(&after), without(&before));
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_words_and_changes_nothing() {
    let libvirt = PrivateLibvirt::start().await;
    let (stack, uuid) = (stack(&libvirt).await, defined(&libvirt).await);
    let before = dump(&libvirt, uuid).await;
    let path = format!("/v1/consoles/{uuid}/definition");
    let put = async |path: &str, body: Value| {
        let (status, answer) = stack.agent.api(Method::PUT, path, Some(&body)).await.unwrap();
        (status.as_u16(), answer["code"].as_str().unwrap_or_default().to_owned(), answer)
    };
    for (body, status, code) in [
        (json!({"vnc": {}, "spice": {}}), 400, "bad_request"),
        (json!({"serial": {"ports": 5}}), 400, "bad_request"),
        (json!({"serial": {"ports": {"flavor": 1, "image": 2}}}), 400, "bad_request"),
        (json!({"vnc": {"keymap": "../de"}}), 400, "bad_request"),
        (json!({"serial": {"ports": 1, "log": "/etc/passwd"}}), 400, "bad_request"),
    ] {
        let answer = put(&path, body.clone()).await;
        assert_eq!((answer.0, answer.1.as_str()), (status, code), "{body}: {}", answer.2);
    }
    let missing = put(&format!("/v1/consoles/{}/definition", Uuid::new_v4()), json!({"vnc": {}})).await;
    assert_eq!((missing.0, missing.1.as_str()), (404, "no_such_console"));
    assert_eq!(dump(&libvirt, uuid).await, before);

    let transient = Uuid::new_v4();
    let file = write(&libvirt, &libvirt.guest("transient").uuid(transient).xml().unwrap());
    libvirt.virsh(&["create", &file.to_string_lossy()]).await.unwrap();
    let answer = put(&format!("/v1/consoles/{transient}/definition"), json!({"vnc": {}})).await;
    assert_eq!((answer.0, answer.1.as_str()), (409, "transient_domain"), "{}", answer.2);

    // A saved guest goes on with what it had.
    libvirt.virsh(&["start", &uuid.to_string()]).await.unwrap();
    libvirt.virsh(&["managedsave", &uuid.to_string()]).await.unwrap();
    let (status, _, applied) = put(&path, json!({"vnc": {}})).await;
    assert_eq!((status, &applied["definition"]["saved"]), (200, &json!(true)), "{applied}");
}

#[tokio::test]
async fn what_a_later_release_has_noted_is_left_as_it_is_and_opens() {
    let libvirt = PrivateLibvirt::start().await;
    let (stack, uuid) = (stack(&libvirt).await, defined(&libvirt).await);
    let name = uuid.to_string();
    porthole(&stack.agent, &["apply", &name, "--vnc", "--serial", "1"]).await;
    let later = "<consoles transport='sealed'><vnc share='ignore'/><spice tls='yes'/>\
                 <serial ports='1' protocol='raw' log='host'/></consoles>";
    let note = ["metadata", &name, "--uri", NAMESPACE, "--key", "porthole", "--set", later, "--config"];
    libvirt.virsh(&note).await.unwrap();
    libvirt.virsh(&["start", &name]).await.unwrap();
    let before = dump(&libvirt, uuid).await;
    assert!(before.contains("spice tls="), "{before}");

    let path = format!("/v1/consoles/{uuid}/definition");
    for (method, body) in
        [(Method::GET, None), (Method::PUT, Some(json!({"transport": "tcp", "vnc": {}}))), (Method::DELETE, None)]
    {
        let (status, answer) = stack.agent.api(method, &path, body.as_ref()).await.unwrap();
        assert_eq!((status.as_u16(), &answer["code"]), (409, &json!("bad_xml")), "{answer}");
        let detail = answer["detail"].as_str().unwrap();
        assert!(detail.contains("<spice> in Porthole's metadata is not known to this release"), "{detail}");
        assert!(detail.contains("Use that release on this host"), "{detail}");
    }
    let refused = try_consoles(&["merge", "--vnc"], &before).await.unwrap_err();
    assert!(refused.contains("<spice> in Porthole's metadata"), "{refused}");
    assert_eq!(dump(&libvirt, uuid).await, before);
    assert!(stack.view(Mint::of(uuid)).await.full_frame().await.unwrap().width > 0);
    assert_says_hello(&stack, &stack.agent, uuid, 0).await;
}

#[tokio::test]
async fn whoever_defines_domains_itself_gets_the_xml_of_the_api() {
    let libvirt = PrivateLibvirt::start().await;
    let stack = stack(&libvirt).await;
    let xml = libvirt.guest("merged").serials([Serial::Pty]).xml().unwrap();
    let spec = json!({"transport": "tcp", "vnc": {}, "serial": {"ports": 1}});
    let post = async |path: &str, body: Value| {
        let (status, answer) = stack.agent.api(Method::POST, path, Some(&body)).await.unwrap();
        (status.as_u16(), answer)
    };
    let (status, merged) = post("/v1/consoles/merge", json!({"xml": xml, "spec": spec})).await;
    assert_eq!(status, 200, "{merged}");
    define(&libvirt, merged["xml"].as_str().unwrap()).await.unwrap();
    let uuid = merged["uuid"].as_str().unwrap();
    libvirt.virsh(&["start", uuid]).await.unwrap();
    assert!(stack.view(Mint::of(uuid.parse::<Uuid>().unwrap())).await.full_frame().await.unwrap().width > 0);
    assert_says_hello(&stack, &stack.agent, uuid.parse().unwrap(), 0).await;
    // The agent takes it for its own.
    let body = json!({"domain": uuid, "spec": spec});
    assert_eq!(post("/v1/consoles/render", body).await.1["ports"], merged["ports"]);
    let (_, same) =
        stack.agent.api(Method::PUT, &format!("/v1/consoles/{uuid}/definition"), Some(&spec)).await.unwrap();
    assert_eq!(same["changed"], json!(false), "{same}");

    let bomb = "<!DOCTYPE d [<!ENTITY a \"&b;&b;\">]>\n<domain/>";
    let (status, refused) = post("/v1/consoles/merge", json!({"xml": bomb, "spec": {"vnc": {}}})).await;
    assert_eq!(
        (status, &refused["code"], &refused["line"], &refused["column"]),
        (400, &json!("bad_xml"), &json!(1), &json!(1))
    );
    let long = format!("<domain><name>{}</name></domain>", "a".repeat(300_000));
    assert_eq!(post("/v1/consoles/merge", json!({"xml": long, "spec": {"vnc": {}}})).await.0, 200);
}
