use super::*;
use porthole_shared::config;
use std::fs;
use tempfile::TempDir;

fn directory(text: &str) -> Result<(Directory, TempDir), String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nodes.toml");
    fs::write(&path, text).unwrap();
    Directory::open(&Source::File(path)).map(|directory| (directory, dir)).map_err(|error| error.to_string())
}

const TWO: &str = r#"
[[node]]
name = "compute-1"
address = "10.0.0.5:6090"

[[node]]
name = "compute-2"
address = "[2001:db8::2]:6090"
id = "zz"
dns_name = "host2.example.org"
"#;

#[test]
fn nodes_are_found_by_given_or_derived_id() {
    let (directory, _dir) = directory(TWO).unwrap();
    let first = directory.find(&NodeId::derived_from(&"compute-1".parse().unwrap())).unwrap();
    assert_eq!(first.identity, AgentIdentity::Role("compute-1".parse().unwrap()));
    assert_eq!(first.address.to_string(), "10.0.0.5:6090");
    let second = directory.find(&"zz".parse().unwrap()).unwrap();
    assert_eq!(second.identity, AgentIdentity::Dns("host2.example.org".parse().unwrap()));
    assert_eq!(second.address.to_string(), "[2001:db8::2]:6090");
    assert_eq!(directory.nodes().len(), 2);
    // A name is no id.
    assert_eq!(directory.find(&"compute-1".parse().unwrap()), None);
}

#[test]
fn a_bad_file_names_line_and_rule() {
    let again =
        |id: &str, name: &str| format!("{TWO}\n[[node]]\nname = \"{name}\"\naddress = \"a:1\"\nid = \"{id}\"\n");
    for (text, expected) in [
        (again("x", "compute-1"), vec!["line 12", "name \"compute-1\"", "line 2"]),
        (again("zz", "compute-3"), vec!["line 12", "id \"zz\"", "line 6"]),
        ("[[node]]\nname = \"a\"\n".into(), vec!["missing field `address`", "line 1"]),
        ("[[node]]\nname = \"A\"\naddress = \"a:1\"\n".into(), vec!["lower-case", "line 2"]),
        ("[[node]]\nname = \"a\"\naddress = \"a\"\n".into(), vec!["host and port", "line 3"]),
        ("[[nodes]]\n".into(), vec!["unknown field `nodes`"]),
    ] {
        let message = directory(&text).unwrap_err();
        for part in expected {
            assert!(message.contains("nodes.toml") && message.contains(part), "{part:?} is not in: {message}");
        }
    }
    // No nodes yet is a directory too.
    assert!(directory("").unwrap().0.nodes().is_empty());
}

#[test]
fn a_changed_file_is_read_and_a_broken_one_is_not_taken() {
    let (directory, dir) = directory(TWO).unwrap();
    let path = dir.path().join("nodes.toml");
    fs::write(&path, "[[node]]\nname = \"c\"\naddress = \"c:1\"\n").unwrap();
    directory.reload();
    assert_eq!((directory.nodes().len(), directory.generation()), (1, 1));
    fs::write(&path, "[[node]\n").unwrap();
    directory.reload();
    fs::remove_file(&path).unwrap();
    directory.reload();
    assert_eq!((directory.nodes().len(), directory.generation()), (1, 1));
}

#[tokio::test]
async fn a_clone_sees_what_the_watching_one_reads() {
    let (directory, dir) = directory(TWO).unwrap();
    let shutdown = Shutdown::default();
    let watching = tokio::spawn(directory.clone().watch(shutdown.clone()));
    fs::write(dir.path().join("nodes.toml"), "").unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(10), async {
        while !directory.nodes().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    shutdown.hard.cancel();
    watching.await.unwrap();
}

#[test]
fn a_template_takes_names_only() {
    let template = AddressTemplate::try_from("{node}.internal:6090".to_owned()).unwrap();
    let directory = Directory::open(&Source::Template(template)).unwrap();
    let node = directory.find(&"compute-1.rack2".parse().unwrap()).unwrap();
    assert_eq!(node.address.to_string(), "compute-1.rack2.internal:6090");
    assert_eq!(node.identity, AgentIdentity::Role("compute-1.rack2".parse().unwrap()));
    for not_a_name in ["a-", "a.-b", "a.", &"a".repeat(64)] {
        assert_eq!(directory.find(&not_a_name.parse().unwrap()), None, "{not_a_name}");
    }
    for bad in ["internal:6090", "{node}.internal", "host:{node}", "host:6{node}", "{nod}:1", "{node} x:1"] {
        assert!(AddressTemplate::try_from(bad.to_owned()).is_err(), "{bad}");
    }
}

#[test]
fn a_template_names_hosts_of_a_fixed_domain_only() {
    for good in ["{node}.internal:1", "{node}.internal.example:6090", "vm-{node}.a-1.example:1", "{node}.x.{node}.b:1"]
    {
        AddressTemplate::try_from(good.to_owned()).unwrap();
    }
    for bad in [
        "{node}:6090",
        "www.{node}:6090",
        "{node}internal.example:1",
        "{node}-a.example:1",
        "{node}.:1",
        "{node}..example:1",
        "{node}.example.:1",
        "{node}.1:1",
        "{node}.example.0x7f:1",
        "{node}.example.{node}:1",
    ] {
        let refused = AddressTemplate::try_from(bad.to_owned());
        assert_eq!(refused, Err(InvalidTemplate::NoDomain), "{bad}");
    }
}

#[test]
fn the_agents_table_has_exactly_one_source() {
    #[derive(Debug, Deserialize)]
    struct Whole {
        agents: Config,
    }
    let dir = tempfile::tempdir().unwrap();
    let load = |more: &str| {
        let path = dir.path().join("edge.toml");
        fs::write(&path, format!("[agents]\ncertificate = \"c\"\nkey = \"k\"\nca = \"a\"\n{more}")).unwrap();
        config::load::<Whole>(&path).map(|whole| whole.agents).map_err(|error| error.to_string())
    };
    let config = load("nodes = \"n.toml\"\nconnect_timeout = \"2s\"").unwrap();
    assert_eq!(config.nodes, Source::File("n.toml".into()));
    assert_eq!(config.connect_timeout, Duration::from_secs(2));
    assert_eq!(load("template = \"{node}.example:1\"").unwrap().connect_timeout, Duration::from_secs(5));
    for (more, expected) in [
        ("", "exactly one"),
        ("nodes = \"n\"\ntemplate = \"{node}.example:1\"", "exactly one"),
        ("template = \"{node}:1\"", "fixed domain"),
        ("template = \"x:1\"", "{node}"),
        ("nodes = \"n\"\nnode = 1", "unknown field `node`"),
    ] {
        let message = load(more).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}
