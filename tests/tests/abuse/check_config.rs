//! `--check-config` of both daemons: good files are good, bad ones are told of in words that lead to the mistake.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use porthole_tests::places;

use super::support::console::Console;
use super::support::stack;

/// Whether the daemon is content with the file, and what it says.
fn check(binary: &str, arguments: &[&str], config: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(places::binary(binary).unwrap());
    command.args(arguments).arg("--config").arg(config).stdin(Stdio::null());
    // Whoever runs the tests may want backtraces of them; an operator has none.
    command.env_remove("RUST_BACKTRACE").env_remove("RUST_LIB_BACKTRACE");
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// The configuration file, changed.
struct Variants {
    binary: &'static str,
    directory: PathBuf,
    good: String,
}

impl Variants {
    fn of(binary: &'static str, config: &Path, directory: &Path) -> Self {
        let good = std::fs::read_to_string(config).unwrap();
        Self { binary, directory: directory.to_owned(), good }
    }

    /// The line that sets this, set to something else (or, where there is none, in front of all else).
    fn with(&self, key: &str, line: &str) -> String {
        let lines: Vec<&str> =
            self.good.lines().map(|old| if old.split(" = ").next() == Some(key) { line } else { old }).collect();
        let changed = lines.join("\n");
        assert!(changed.contains(line), "{key} is not in\n{}", self.good);
        changed
    }

    /// A table with one more line.
    fn adding(&self, table: &str, line: &str) -> String {
        assert!(self.good.contains(table), "{table} is not in\n{}", self.good);
        self.good.replacen(table, &format!("{table}\n{line}"), 1)
    }

    /// Without this table.
    fn without(&self, table: &str) -> String {
        let (before, rest) = self.good.split_once(table).unwrap();
        let behind = rest.find("\n[").map_or("", |next| &rest[next..]);
        format!("{before}{behind}")
    }

    /// Is refused, in words that name the file and all of this; and the daemon does not start on it either.
    fn assert_bad(&self, what: &str, text: impl AsRef<[u8]>, words: &[&str]) {
        let path = self.directory.join(format!("{}.toml", what.replace(' ', "-")));
        std::fs::write(&path, text).unwrap();
        for arguments in [&["--check-config"][..], &[]] {
            let (code, said) = check(self.binary, arguments, &path);
            assert_eq!(code, Some(1), "{what}: {said}");
            for word in words {
                assert!(said.contains(word), "{what}: {word:?} is not in: {said}");
            }
            assert!(!said.contains("panicked") && said.lines().count() < 20, "{said}");
        }
    }

    /// Is refused with the file's name and the line.
    fn assert_bad_line(&self, what: &str, text: &str, line: &str, words: &[&str]) {
        let number = 1 + text.lines().position(|it| it == line).unwrap();
        let (file, at) = (format!("{}.toml", what.replace(' ', "-")), format!("line {number}"));
        self.assert_bad(what, text, &[&[&*file, &*at], words].concat());
    }

    fn assert_good(&self, config: &Path) {
        let (code, said) = check(self.binary, &["--check-config"], config);
        assert_eq!(code, Some(0), "{said}");
    }
}

#[tokio::test]
async fn bad_configurations_are_refused_in_words_that_help() {
    let console = Console::echo().await;
    let mut stack = stack(&console).start().await;
    let directory = stack.directory().join("variants");
    std::fs::create_dir(&directory).unwrap();
    let rubbish = directory.join("rubbish.pem");
    std::fs::write(&rubbish, "rubbish").unwrap();
    let other_key = stack.pki.edge("other").await.unwrap().key;
    let quoted = |path: &Path| format!("{:?}", path.to_string_lossy());

    let edge = Variants::of("porthole-edge", &stack.edge.config_path(), &directory);
    let agent = Variants::of("porthole-agent", &stack.agent.config_path(), &directory);
    // Both run on these very files.
    edge.assert_good(&stack.edge.config_path());
    agent.assert_good(&stack.agent.config_path());
    assert!(stack.edge.stop().await.success() && stack.agent.stop().await.success());

    for (variants, table, certificate) in [(&edge, "[agents]", "certificate"), (&agent, "[tunnel]", "certificate")] {
        variants.assert_bad_line(
            "unknown setting",
            &variants.adding(table, "speed = 3"),
            "speed = 3",
            &["unknown field `speed`"],
        );
        variants.assert_bad_line("wrong type", &variants.with("level", "level = 3"), "level = 3", &["string"]);
        variants.assert_bad_line(
            "no such level",
            &variants.with("level", "level = \"loud[\""),
            "level = \"loud[\"",
            &["loud["],
        );
        variants.assert_bad("no TOML", "[[[", &["no-TOML.toml", "line 1"]);
        variants.assert_bad("not text", b"\xff\xfe\x00", &["not-text.toml"]);
        variants.assert_bad("empty", "", &["empty.toml", "missing field"]);
        variants.assert_bad_line(
            "no certificate",
            &variants.with(certificate, "certificate = 7"),
            "certificate = 7",
            &["string"],
        );
        let missing = "certificate = \"/nonexistent/cert.pem\"";
        variants.assert_bad("missing certificate", variants.with(certificate, missing), &["/nonexistent/cert.pem"]);
        let no_pem = format!("certificate = {}", quoted(&rubbish));
        variants.assert_bad("no PEM", variants.with(certificate, &no_pem), &["rubbish.pem"]);
        let mismatch = format!("key = {}", quoted(&other_key));
        variants.assert_bad("another key", variants.with("key", &mismatch), &["cannot be used together"]);
        let (code, said) = check(variants.binary, &["--check-config"], Path::new("/nonexistent.toml"));
        assert!(code == Some(1) && said.contains("/nonexistent.toml") && said.contains("No such file"), "{said}");
        let (code, said) = check(variants.binary, &["--check-config"], &directory);
        assert!(code == Some(1) && said.contains("directory"), "{said}");
        let (code, said) = check(variants.binary, &["--no-such-option"], &directory);
        assert!(code == Some(2) && said.contains("--no-such-option"), "{said}");
    }

    // What only the edge has.
    let bad = |setting: &str| edge.with(setting.split(" = ").next().unwrap(), setting);
    let line = "deadline = \"soon\"";
    edge.assert_bad_line("no length of time", &bad(line), line, &["soon", "a number with a unit"]);
    let line = "listen = \"localhost\"";
    edge.assert_bad("no address", bad(line), &["listen"]);
    edge.assert_bad("two sources", edge.adding("[agents]", "template = \"{node}.example:1\""), &["exactly one of"]);
    edge.assert_bad(
        "two transports",
        edge.adding("[public]", "behind_load_balancer = true"),
        &["exactly one of", "load balancer"],
    );
    edge.assert_bad(
        "an origin as URL",
        edge.adding("[public]", "allowed_origins = [\"https://a.example\"]"),
        &["a.example", "without scheme"],
    );
    edge.assert_bad(
        "a policy in the policy",
        edge.adding("[public]", "frame_ancestors = [\"a; script-src *\"]"),
        &["frame_ancestors"],
    );
    edge.assert_bad(
        "no pages",
        edge.adding("[public]", "web_root = \"/nonexistent/web\""),
        &["web_root", "/nonexistent/web"],
    );
    let nodes = directory.join("nodes.toml");
    let with_nodes = bad(&format!("nodes = {}", quoted(&nodes)));
    edge.assert_bad("no directory", &with_nodes, &["nodes.toml", "No such file"]);
    std::fs::write(&nodes, "[[node]]\nname = \"a\"\naddress = \"b:1\"\n[[node]]\nname = \"a\"\naddress = \"c:1\"\n")
        .unwrap();
    edge.assert_bad("a directory with a contradiction", &with_nodes, &["nodes.toml", "line 4", "line 1", "\"a\""]);

    // What only the agent has.
    agent.assert_bad(
        "a relative path",
        agent.with("socket", "socket = \"agent.sock\""),
        &["a-relative-path.toml", "relative"],
    );
    agent.assert_bad("no consoles", agent.without("[[external.console]]"), &["no console at all"]);
    agent.assert_bad("outside", agent.good.replace("127.0.0.0/8", "10.0.0.0/8"), &["127.0.0.1", "networks"]);
    agent.assert_bad("too short", agent.adding("[node]", "id = \"\""), &["too-short.toml", "id"]);
    agent.assert_bad("a base without scheme", agent.with("tcp", "tcp = \"consoles.example.org\""), &["https://"]);
    agent.assert_bad("no sessions", format!("{}\n[sessions]\nmax = 0\n", agent.good), &["[sessions] max is 0"]);
}
