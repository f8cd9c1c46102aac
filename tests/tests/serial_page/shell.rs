//! A Linux guest's shell.

use porthole_tests::browser::{Key, Window};
use porthole_tests::guest::Serial;
use porthole_tests::libvirt::PrivateLibvirt;

use crate::support::{Person, serial, stack};

#[tokio::test]
async fn a_command_is_typed_and_its_output_seen() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("shell").linux().serials([Serial::Unix]).managed().start().await;
    let stack = stack(&libvirt).await;
    let mia = Person::at(&stack, serial(&guest, "mia")).await;
    mia.is_told("You write.").await;
    mia.reads(":~#").await;
    mia.types("echo $((6 * 7)) is the answer").await;
    mia.reads("\n42 is the answer\n").await;
    // Wide characters, right to left, combining ones: each comes in several bytes, cut anywhere.
    mia.types("for i in 1 2 3; do printf 'Gr\\303\\274\\303\\237e \\346\\227\\245\\346\\234\\254 \\320\\257 \\360\\237\\220\\247\\n'; done").await;
    mia.reads("Grüße 日本 Я 🐧\nGrüße 日本 Я 🐧\nGrüße 日本 Я 🐧\n").await;
    mia.0.show("serial-shell").await;
    mia.0.prefer("light").await;
    mia.0.show("serial-shell-light").await;
    mia.0.prefer("dark").await;

    // A full-screen program takes the terminal for what it is, and gives the shell's screen back.
    mia.types("stty rows 24 columns 80; vi /etc/hello").await;
    mia.reads("~\n~\n~").await;
    mia.0.write("ifull screen").await;
    mia.reads("I /etc/hello").await;
    mia.0.press(&[Key::ESCAPE]).await;
    // What follows an escape at once is a part of it to vi.
    mia.reads("- /etc/hello").await;
    mia.0.show("serial-vi").await;
    mia.types(":wq").await;
    mia.types("cat /etc/hello; echo do''ne").await;
    mia.reads("full screen\ndone").await;
    mia.types("top -n 2 -d 1; echo ov''er").await;
    mia.reads("Mem:").await;
    mia.0.show("serial-top").await;
    mia.reads("over").await;

    // On a phone there are keys that its keyboard lacks.
    mia.0.resize(Window::PHONE).await;
    mia.types("sleep 1000; echo $?").await;
    mia.0.touch("[data-keys=interrupt]").await;
    mia.reads("^C").await;
    mia.0.resize(Window::WIDE).await;
    mia.0.assert_quiet(&[]).await;
}

#[tokio::test]
async fn several_lines_are_pasted_after_a_question() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("paste").managed().start().await;
    let stack = stack(&libvirt).await;
    let mia = Person::at(&stack, serial(&guest, "mia")).await;
    mia.reads("TINYGUEST READY COM1").await;
    mia.pastes("one").await;
    mia.reads("> one").await;
    mia.types("").await;
    mia.reads("you said: one").await;

    mia.pastes("two\nthree\n").await;
    assert!(mia.0.is_shown("#paste").await, "a question");
    assert!(mia.0.text_of("#paste-note").await.contains("2 lines"), "{}", mia.0.text_of("#paste-note").await);
    assert!(!mia.text().await.contains("two"));
    mia.0.show("serial-paste").await;
    mia.0.click("[data-action=paste-send]").await;
    mia.reads("you said: three").await;
    assert!(!mia.0.is_shown("#paste").await);
    // The keyboard is the guest's again.
    mia.types("four").await;
    let text = mia.reads("you said: four").await;
    assert_eq!(text.matches("you said: two").count(), 1, "{text}");
    mia.0.assert_quiet(&[]).await;
}
