//! What a person does: keys, clicks, touches. `WebDriver`'s actions, which go through the browser's own input.

use std::collections::HashSet;

use http::Method;
use serde_json::{Value, json};

use super::Browser;

/// What is on a US keyboard with shift, besides capital letters.
const SHIFTED: &str = "~!@#$%^&*()_+{}|:\"<>?";

/// Keys without a character, in `WebDriver`'s code points. All others are their (lower-case) character.
#[derive(Debug, Clone, Copy)]
pub struct Key;

impl Key {
    /// Tab.
    pub const TAB: char = '\u{e004}';
    /// Enter.
    pub const ENTER: char = '\u{e007}';
    /// Shift.
    pub const SHIFT: char = '\u{e008}';
    /// Control.
    pub const CONTROL: char = '\u{e009}';
    /// Alt.
    pub const ALT: char = '\u{e00a}';
    /// Escape.
    pub const ESCAPE: char = '\u{e00c}';
    /// The space bar.
    pub const SPACE: char = ' ';
    /// The chord that leads out of a page's screen.
    pub const WAY_OUT: [char; 4] = [Self::CONTROL, Self::ALT, Self::SHIFT, 'm'];
}

impl Browser {
    /// Types a text into whatever has the focus, key by key on a US keyboard, with shift where that needs it.
    pub async fn write(&self, text: &str) {
        let keys = text.chars().flat_map(|key| {
            let shift = key.is_ascii_uppercase() || SHIFTED.contains(key);
            let (down, up) = (("keyDown", key), ("keyUp", key));
            let all = [("keyDown", Key::SHIFT), down, up, ("keyUp", Key::SHIFT)];
            if shift { all.to_vec() } else { vec![down, up] }
        });
        self.keys(keys).await;
    }

    /// Presses keys one after the other, and releases them in the other order.
    pub async fn press(&self, keys: &[char]) {
        let down = keys.iter().map(|&key| ("keyDown", key));
        self.keys(down.chain(keys.iter().rev().map(|&key| ("keyUp", key)))).await;
    }

    /// Clicks an element, which must be there, in sight and not covered.
    pub async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        let id = element.as_object().and_then(|element| element.values().next()).and_then(Value::as_str);
        self.must(Method::POST, &format!("element/{}/click", id.unwrap_or_default()), Some(json!({}))).await;
    }

    /// Clicks the toolbar's button of an action.
    pub async fn click_action(&self, action: &str) {
        self.click(&format!("#bar button[data-action={action}]")).await;
    }

    /// Touches an element with a finger.
    pub async fn touch(&self, selector: &str) {
        let element = self.element(selector).await;
        let steps = json!([
            { "type": "pointerMove", "duration": 0, "origin": element, "x": 0, "y": 0 },
            { "type": "pointerDown", "button": 0 },
            { "type": "pointerUp", "button": 0 },
        ]);
        self.act("pointer", "finger", steps, Some(json!({ "pointerType": "touch" }))).await;
    }

    /// What has the focus: `#id`, `[data-action=…]` or the element's name; `canvas` is the guest's screen.
    pub async fn focused(&self) -> String {
        let script = "
            const element = document.activeElement;
            const { action, keys } = element?.dataset ?? {};
            if (action) return `[data-action=${action}]`;
            if (keys) return `[data-keys=${keys}]`;
            return element?.id ? `#${element.id}` : element?.localName ?? '';";
        self.get(script, &[]).await
    }

    /// Goes by Tab from the toolbar's first button, which has the focus, to what comes behind its last.
    ///
    /// # Panics
    /// When a button that can be used is not reached, or not seen to have the focus.
    pub async fn tab_through_the_toolbar(&self) {
        let buttons = self.usable_buttons().await;
        assert_eq!(Some(&self.focused().await), buttons.first(), "{buttons:?}");
        let mut reached = HashSet::new();
        for _ in &buttons {
            let focused = self.focused().await;
            assert!(self.focus_is_seen().await, "the focus on {focused} cannot be seen");
            reached.insert(focused);
            self.press(&[Key::TAB]).await;
        }
        assert_eq!(reached, buttons.into_iter().collect());
    }

    /// The buttons of the toolbar that can be used now, as selectors.
    async fn usable_buttons(&self) -> Vec<String> {
        let script = "return [...document.querySelectorAll('#bar button')]
            .filter((button) => button.checkVisibility() && !button.disabled)
            .map((button) => `[data-action=${button.dataset.action}]`)";
        self.get(script, &[]).await
    }

    /// Whether a person sees what has the focus: a ring, which nothing around it cuts off.
    pub async fn focus_is_seen(&self) -> bool {
        let script = "
            const element = document.activeElement;
            const { outlineStyle, outlineWidth, outlineOffset } = getComputedStyle(element);
            if (!element.matches(':focus-visible') || outlineStyle === 'none' || parseFloat(outlineWidth) < 1) return false;
            const outside = parseFloat(outlineWidth) + parseFloat(outlineOffset);
            const { top, left, right, bottom } = element.getBoundingClientRect();
            const contains = (box) => top - outside >= box.top && left - outside >= box.left
                && bottom + outside <= box.bottom && right + outside <= box.right;
            for (let around = element.parentElement; around; around = around.parentElement) {
                if (getComputedStyle(around).overflow !== 'visible' && !contains(around.getBoundingClientRect())) return false;
            }
            return contains({ top: 0, left: 0, right: innerWidth, bottom: innerHeight })";
        self.get(script, &[]).await
    }

    async fn keys(&self, steps: impl Iterator<Item = (&str, char)>) {
        let steps: Vec<Value> = steps.map(|(what, key)| json!({ "type": what, "value": key.to_string() })).collect();
        self.act("key", "keyboard", Value::from(steps), None).await;
    }

    async fn act(&self, kind: &str, id: &str, steps: Value, parameters: Option<Value>) {
        let mut source = json!({ "type": kind, "id": id, "actions": steps });
        if let Some(parameters) = parameters {
            source["parameters"] = parameters;
        }
        self.must(Method::POST, "actions", Some(json!({ "actions": [source] }))).await;
    }
}
