//! What a browser is started with.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use uuid::Uuid;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::driver::Driver;
use super::{Browser, Window};

/// No sandbox, because root has none; nothing that talks to anybody by itself. Names under `test` are this machine;
/// no other name leads anywhere, so that a page that asks for something external is seen to fail. Frames of other sites
/// share their page's process, because chromedriver hears nothing of what others complain about.
const ARGUMENTS: [&str; 14] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--hide-scrollbars",
    "--disable-site-isolation-trials",
    "--disable-features=IsolateOrigins,site-per-process",
    "--host-resolver-rules=MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
];

/// What to start; see [`Browser::builder`].
#[derive(Debug)]
pub struct Builder {
    trusted: PathBuf,
    window: Window,
    storage: bool,
    scripts: Vec<String>,
}

impl Builder {
    pub(super) fn trusting(certificate: &Path) -> Self {
        Self { trusted: certificate.to_owned(), window: Window::WIDE, storage: true, scripts: Vec::new() }
    }

    /// In a window of this size and kind.
    #[must_use]
    pub fn window(mut self, window: Window) -> Self {
        self.window = window;
        self
    }

    /// One whose person has forbidden sites to keep anything.
    #[must_use]
    pub fn without_storage(mut self) -> Self {
        self.storage = false;
        self
    }

    /// Runs this script in every page, before the page's own.
    #[must_use]
    pub fn on_every_page(mut self, script: &str) -> Self {
        self.scripts.push(script.to_owned());
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(self) -> Browser {
        self.try_start().await.unwrap_or_else(|error| panic!("no browser: {error:#}"))
    }

    /// As [`Self::start`], with the error.
    pub async fn try_start(self) -> Result<Browser> {
        let driver = Driver::start().await?;
        let capabilities = self.capabilities(driver.directory())?;
        let session = driver.new_session(&capabilities).await?;
        let browser = Browser::new(driver, session, self.window, self.scripts);
        browser.prepare_tab().await?;
        Ok(browser)
    }

    fn capabilities(&self, directory: &Path) -> Result<Value> {
        let mut arguments = ARGUMENTS.map(str::to_owned).to_vec();
        let profile = directory.join(Uuid::new_v4().simple().to_string());
        arguments.push(format!("--user-data-dir={}", profile.display()));
        // This one certificate is good, as if its issuer were in the browser's list. `acceptInsecureCerts` instead would
        // have the browser go on with an error, and then it caches nothing.
        arguments.push(format!("--ignore-certificate-errors-spki-list={}", key_pin(&self.trusted)?));
        let mut options = json!({ "args": arguments });
        if !self.storage {
            options["prefs"] = json!({ "profile.default_content_setting_values.cookies": 2 });
        }
        // Debian's; where there is none chromedriver looks by itself.
        let chromium = Path::new("/usr/bin/chromium");
        if chromium.exists() {
            options["binary"] = json!(chromium);
        }
        Ok(json!({
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        }))
    }
}

/// SHA-256 of a certificate's public key, in base64.
fn key_pin(certificate: &Path) -> Result<String> {
    let file = || format!("reading {}", certificate.display());
    let der = CertificateDer::from_pem_file(certificate).with_context(file)?;
    let (_, parsed) = X509Certificate::from_der(&der).with_context(file)?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, parsed.public_key().raw);
    Ok(STANDARD.encode(digest))
}
