//! The domains in libvirt's own documentation, read where Debian's package `libvirt-doc` has put them: they are under the
//! LGPL, so none is copied here.

use std::fs;
use std::path::{Path, PathBuf};

use crate::samples::assert_only_consoles_change;
use crate::support::try_consoles;

const DOCUMENTATION: &str = "/usr/share/doc/libvirt-doc";

/// What they are given.
const WANTED: [&[&str]; 2] = [
    &["--vnc", "--keymap", "de", "--serial", "2"],
    &["--vnc", "--serial", "1", "--transport", "tcp", "--port-vnc", "20000", "--port-serial", "10000"],
];

/// All files of that kind, in all folders.
fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}: `make deps`", folder.display()));
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files(&path, kind));
        } else if path.extension().is_some_and(|extension| extension == kind) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The text of an HTML fragment.
fn plain(html: &str) -> String {
    let text: String = html
        .split('<')
        .enumerate()
        .map(|(index, part)| if index == 0 { part } else { part.split_once('>').map_or("", |(_, text)| text) })
        .collect();
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
    text.replace("&#x27;", "'").replace("&amp;", "&").trim().to_owned()
}

/// Each domain, with where it was found. Some are no whole ones, with `...` for what they leave out.
fn examples() -> Vec<(String, String)> {
    let folder = Path::new(DOCUMENTATION);
    let mut all = Vec::new();
    for file in files(&folder.join("examples"), "xml") {
        all.push((file.display().to_string(), fs::read_to_string(&file).unwrap()));
    }
    for file in files(&folder.join("html"), "html") {
        let page = fs::read_to_string(&file).unwrap();
        let blocks = page.split("<pre").skip(1).filter_map(|rest| rest.split_once('>')?.1.split_once("</pre>"));
        for (index, (block, _)) in blocks.enumerate() {
            all.push((format!("{} block {index}", file.display()), plain(block)));
        }
    }
    all.retain(|(_, text)| text.contains("<domain ") || text.contains("<domain>"));
    all.retain(|(_, text)| text.starts_with("<domain") || text.starts_with("<?xml"));
    all
}

#[tokio::test]
async fn libvirts_own_examples_change_in_their_consoles_only() {
    let (mut merged, mut refused) = (0, Vec::new());
    for (name, text) in examples() {
        // Without a name it is no domain, but for this it might be.
        let text = if text.contains("<name>") || !text.starts_with("<domain") {
            text
        } else {
            text.replacen('>', ">\n  <name>example</name>", 1)
        };
        match try_consoles(&["merge", "--vnc"], &text).await {
            Ok(_) => {
                merged += 1;
                for wanted in WANTED {
                    assert_only_consoles_change(&name, &text, wanted).await;
                }
            }
            Err(said) => {
                assert!(said.contains("line ") && said.contains(", column "), "{name}: {said}\n{text}");
                refused.push(format!("{name}: {said}"));
            }
        }
    }
    assert!(merged >= 40, "{merged} were merged; refused: {refused:#?}");
    assert!(refused.len() <= merged / 2, "{refused:#?}");
}
