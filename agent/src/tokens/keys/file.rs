//! The file that holds the signing keys: `keys/signing.json` of the state directory, mode 0600.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use porthole_shared::clock::UnixTime;
use porthole_shared::secret::Secret;
use porthole_shared::token::{SigningKey, SigningKeyError};
use serde::{Deserialize, Serialize};

/// The largest key file that is read: sixteen keys take about 4 KiB.
const MAX_BYTES: u64 = 64 * 1024;

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others can read it.
    #[error(
        "{} may be read by others (mode {mode:03o}), so its keys are no secret: find out who changed it, then either \
         remove the file, which makes all links given out until now useless, or run `chmod {right} {}`",
        path.display(), path.display()
    )]
    Mode {
        /// The file or directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// What it should be.
        right: &'static str,
    },
    /// It is not what was written.
    #[error(
        "{} holds no signing keys of this release: restore it, or remove it, which makes all links given out until now \
         useless", path.display()
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// The keys and since when they are what they are.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyFile {
    /// Signs.
    pub(super) current: Private,
    /// Will sign.
    pub(super) next: Private,
    /// Signed.
    pub(super) retired: Vec<Retired>,
}

/// A private key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Private {
    pkcs8: Pkcs8,
    /// Since when it is current or next.
    pub(super) since: UnixTime,
}

/// A key whose private half is gone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Retired {
    /// As it is published: an RFC 7517 key.
    pub(super) public: serde_json::Value,
    /// By then its last token has expired.
    pub(super) until: UnixTime,
}

/// PKCS #8 DER, in base64 in the file.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
struct Pkcs8(Secret<Vec<u8>>);

impl TryFrom<String> for Pkcs8 {
    type Error = base64::DecodeError;
    fn try_from(text: String) -> Result<Self, base64::DecodeError> {
        STANDARD.decode(text).map(Secret::new).map(Self)
    }
}

impl From<Pkcs8> for String {
    fn from(key: Pkcs8) -> Self {
        STANDARD.encode(key.0.expose())
    }
}

impl Private {
    /// A new key.
    pub(super) fn made(now: UnixTime) -> Result<Self, SigningKeyError> {
        let (_key, pkcs8) = SigningKey::generate()?;
        Ok(Self { pkcs8: Pkcs8(pkcs8), since: now })
    }

    /// The same, in another role since then.
    pub(super) fn since(self, now: UnixTime) -> Self {
        Self { since: now, ..self }
    }

    /// Ready to sign.
    pub(super) fn key(&self) -> Result<SigningKey, SigningKeyError> {
        SigningKey::from_pkcs8(self.pkcs8.0.expose())
    }
}

/// Where the file is; makes its directory (0700) if there is none.
pub(super) fn place(state_dir: &Path) -> Result<PathBuf, KeyFileError> {
    let dir = state_dir.join("keys");
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
    made.map_err(|source| KeyFileError::Io { operation: "make", path: dir.clone(), source })?;
    let meta = std::fs::metadata(&dir);
    let meta = meta.map_err(|source| KeyFileError::Io { operation: "look at", path: dir.clone(), source })?;
    private(&dir, meta.mode(), "0700")?;
    Ok(dir.join("signing.json"))
}

fn private(path: &Path, mode: u32, right: &'static str) -> Result<(), KeyFileError> {
    let mode = mode & 0o777;
    let others = mode & 0o077;
    if others == 0 { Ok(()) } else { Err(KeyFileError::Mode { path: path.to_owned(), mode, right }) }
}

impl KeyFile {
    /// Reads it; `None` if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, KeyFileError> {
        let io = |source| KeyFileError::Io { operation: "read", path: path.to_owned(), source };
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(io)?,
        };
        private(path, file.metadata().map_err(io)?.mode(), "0600")?;
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text).map_err(io)?;
        let content = |source| KeyFileError::Content { path: path.to_owned(), source };
        serde_json::from_str(&text).map(Some).map_err(content)
    }

    /// Writes it to one side, synchronises, and puts it in its place.
    pub(super) fn write(&self, path: &Path) -> Result<(), KeyFileError> {
        let io = |source| KeyFileError::Io { operation: "write", path: path.to_owned(), source };
        let text = serde_json::to_vec(self).map_err(|error| io(error.into()))?;
        let aside = path.with_extension("new");
        // What an interrupted write left would keep its mode.
        match std::fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside).map_err(io)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(io)?;
        std::fs::rename(&aside, path).map_err(io)?;
        let Some(dir) = path.parent() else { return Ok(()) };
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)
    }
}
