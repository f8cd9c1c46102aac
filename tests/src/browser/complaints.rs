//! What a page must not cause: errors on the browser's console, violations of its Content-Security-Policy, requests to
//! other sites.

use std::sync::PoisonError;

use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{Browser, parsed};

/// Says each violation on the console, with what the browser's own message leaves out.
pub(super) const REPORT_VIOLATIONS: &str = "
    addEventListener('securitypolicyviolation', (event) => {
        const { effectiveDirective, blockedURI, sourceFile, lineNumber } = event;
        console.error('CSP violation', effectiveDirective, blockedURI, `${sourceFile}:${lineNumber}`);
    });";

/// A line of the browser's console.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Complaint {
    /// `SEVERE`, `WARNING`, `INFO`…
    pub level: String,
    /// Where it comes from: `network`, `security`, `javascript`, `console-api`…
    pub source: String,
    /// What it says, with the address that it is about.
    pub message: String,
}

impl Browser {
    /// All that has come on the console, of every page and tab.
    ///
    /// # Panics
    /// When the browser is gone.
    pub async fn complaints(&self) -> Vec<Complaint> {
        let new: Vec<Complaint> = parsed(self.must(Method::POST, "se/log", Some(json!({ "type": "browser" }))).await);
        let mut all = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(new);
        all.clone()
    }

    /// The addresses of all that the page has loaded or tried to.
    pub async fn requests(&self) -> Vec<String> {
        let script = "return performance.getEntries()
            .filter(({ entryType }) => entryType === 'resource' || entryType === 'navigation')
            .map(({ name }) => name)";
        self.get(script, &[]).await
    }

    /// Checks that nothing has complained, but for lines of the console that contain both words of a pair (the address
    /// and the error that the test itself has provoked), and that the page has asked only its own origin.
    ///
    /// # Panics
    /// When something has.
    pub async fn assert_quiet(&self, provoked: &[(&str, &str)]) {
        let expected = |complaint: &Complaint| {
            let has = |word: &str| complaint.message.contains(word);
            provoked.iter().any(|&(address, error)| has(address) && has(error))
        };
        let mut complaints = self.complaints().await;
        // Advice on how to read canvases faster is for the test, which reads them.
        complaints.retain(|complaint| !expected(complaint) && complaint.source != "rendering");
        assert!(complaints.is_empty(), "the console says: {complaints:#?}");
        let origin: String = self.get("return location.origin", &[]).await;
        let mut elsewhere = self.requests().await;
        elsewhere.retain(|address| !address.starts_with(&format!("{origin}/")));
        assert!(elsewhere.is_empty(), "requests to other sites: {elsewhere:?}");
    }
}
