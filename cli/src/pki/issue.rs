//! Making and renewing: from what was asked for to files in their place.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use porthole_shared::clock::{Clock, UnixTime};
use porthole_shared::secret::Secret;
use rcgen::KeyPair;

use super::authority::{Authority, IssueError, Made, Order, parse_key, random_label, sign_itself};
use super::error::PkiError;
use super::facts::Facts;
use super::folder::{Content, FolderError, LockedFolder, Visibility};
use super::names::{Purpose, SubjectName};
use super::report::Written;
use super::{Making, RenewedKey};

/// The names of files, in every folder of a leaf.
pub(super) const CERTIFICATE: &str = "cert.pem";
pub(super) const KEY: &str = "key.pem";
/// The CA's certificate: in the folder itself, and a copy beside every leaf but the public one.
pub(super) const AUTHORITY: &str = "ca.pem";
pub(super) const AUTHORITY_KEY: &str = "ca.key";

/// Browsers take no public certificate that is valid for longer.
const LONGEST_PUBLIC_DAYS: u32 = 397;

/// Where certificates are made: a folder and the time.
#[derive(Debug)]
pub(super) struct Workshop<C> {
    /// The folder of everything.
    pub(super) root: PathBuf,
    /// The time.
    pub(super) clock: C,
}

impl<C: Clock> Workshop<C> {
    /// Makes the CA.
    pub(super) fn init(&self, name: Option<String>, making: Making) -> Result<Written, PkiError> {
        let name = match name {
            Some(name) => name,
            None => format!("Porthole CA {}", random_label()?),
        };
        let days = making.days.unwrap_or(Purpose::Authority.default_days());
        let made = Authority::create(&name, &making.key_type.generate()?, days, self.clock.now())?;
        let folder = LockedFolder::create(&self.root)?;
        match self.check_authority() {
            Err(PkiError::NoAuthority { .. }) => {}
            Err(other) => return Err(other),
            Ok(()) => {
                return Err(PkiError::Exists { purpose: Purpose::Authority, path: self.root.join(AUTHORITY) });
            }
        }
        folder.place_here(&[secret(AUTHORITY_KEY, &made), open(AUTHORITY, &made.certificate)])?;
        Ok(self.written(Purpose::Authority, Vec::new(), &made, false))
    }

    /// Makes a leaf's first certificate.
    pub(super) fn add(&self, purpose: Purpose, names: Vec<SubjectName>, making: Making) -> Result<Written, PkiError> {
        let names = with_own_name(&purpose, names)?;
        let days = allowed_days(&purpose, making.days)?;
        let authority = self.authority_of(&purpose)?;
        let order = Order { purpose: &purpose, names: &names, days };
        let made = sign(authority.as_ref(), &order, &making.key_type.generate()?, self.clock.now())?;
        let folder = LockedFolder::create(&self.root)?;
        folder.place(&purpose.folder(), &files(&made, authority.as_ref())).map_err(|error| {
            if let FolderError::Occupied { path } = error {
                PkiError::Exists { purpose: purpose.clone(), path }
            } else {
                error.into()
            }
        })?;
        Ok(self.written(purpose, names, &made, false))
    }

    /// Makes a leaf's certificate anew. No names: those that it has.
    pub(super) fn renew(
        &self,
        purpose: Purpose,
        names: Vec<SubjectName>,
        key: RenewedKey,
        days: Option<u32>,
    ) -> Result<Written, PkiError> {
        let days = allowed_days(&purpose, days)?;
        let at = self.root.join(purpose.folder());
        if !exists(&at.join(CERTIFICATE))? {
            return Err(PkiError::Missing { purpose, path: at });
        }
        let folder = LockedFolder::open(&self.root)?;
        let names = if names.is_empty() { Facts::read(&at.join(CERTIFICATE))?.names } else { names };
        let names = with_own_name(&purpose, names)?;
        let authority = self.authority_of(&purpose)?;
        let pair = if key.keep_key { parse_key(&read_secret(&at.join(KEY))?)? } else { key.key_type.generate()? };
        let order = Order { purpose: &purpose, names: &names, days };
        let made = sign(authority.as_ref(), &order, &pair, self.clock.now())?;
        folder.replace(&purpose.folder(), &files(&made, authority.as_ref()))?;
        Ok(self.written(purpose, names, &made, true))
    }

    /// Makes the CA's certificate anew, and renews the copies of it that lie beside the leaves.
    pub(super) fn renew_authority(&self, days: Option<u32>) -> Result<Written, PkiError> {
        self.check_authority()?;
        let folder = LockedFolder::open(&self.root)?;
        let made = self.authority()?.renew(days.unwrap_or(Purpose::Authority.default_days()), self.clock.now())?;
        folder.replace_file(Path::new(""), open(AUTHORITY, &made.certificate))?;
        for leaf in leaf_folders(&self.root)? {
            if exists(&self.root.join(&leaf).join(AUTHORITY))? {
                folder.replace_file(&leaf, open(AUTHORITY, &made.certificate))?;
            }
        }
        Ok(self.written(Purpose::Authority, Vec::new(), &made, true))
    }

    /// Both halves of the CA are there.
    fn check_authority(&self) -> Result<(), PkiError> {
        let (certificate, key) = (self.root.join(AUTHORITY), self.root.join(AUTHORITY_KEY));
        match (exists(&certificate)?, exists(&key)?) {
            (true, true) => Ok(()),
            (false, false) => Err(PkiError::NoAuthority { root: self.root.clone() }),
            (true, false) => Err(PkiError::HalfAuthority { present: certificate, missing: key }),
            (false, true) => Err(PkiError::HalfAuthority { present: key, missing: certificate }),
        }
    }

    fn authority(&self) -> Result<Authority, PkiError> {
        self.check_authority()?;
        let certificate = read(&self.root.join(AUTHORITY))?;
        Ok(Authority::load(certificate, &read_secret(&self.root.join(AUTHORITY_KEY))?)?)
    }

    /// Who signs it: the CA, or, for the public one, nobody but itself.
    fn authority_of(&self, purpose: &Purpose) -> Result<Option<Authority>, PkiError> {
        if *purpose == Purpose::Public { Ok(None) } else { self.authority().map(Some) }
    }

    fn written(&self, purpose: Purpose, names: Vec<SubjectName>, made: &Made, renewed: bool) -> Written {
        let (term, cut_short) = (made.term, made.cut_short);
        Written { root: self.root.clone(), purpose, names, term, cut_short, renewed }
    }
}

/// The folders of leaves, relative to the folder of everything.
pub(super) fn leaf_folders(root: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let mut found = Vec::new();
    for sort in ["agents", "clients", "edges"] {
        let path = root.join(sort);
        let listing = |source| FolderError::Io { what: "list", path: path.clone(), source };
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(listing)?,
        };
        for entry in entries {
            found.push(Path::new(sort).join(entry.map_err(listing)?.file_name()));
        }
    }
    if root.join("public").is_dir() {
        found.push(PathBuf::from("public"));
    }
    found.sort();
    Ok(found)
}

fn sign(authority: Option<&Authority>, order: &Order<'_>, key: &KeyPair, now: UnixTime) -> Result<Made, IssueError> {
    match authority {
        Some(authority) => authority.sign(order, key, now),
        None => sign_itself(order, key, now),
    }
}

/// An agent's certificate carries the node's name as a DNS name too, and a client's has no other. No name stands twice.
fn with_own_name(purpose: &Purpose, names: Vec<SubjectName>) -> Result<Vec<SubjectName>, PkiError> {
    let own = match purpose {
        Purpose::Agent(node) => match node.as_str().parse() {
            Ok(SubjectName::Dns(name)) => Some(SubjectName::Dns(name)),
            Ok(SubjectName::Address(_)) | Err(_) => return Err(PkiError::NodeName(node.to_string())),
        },
        Purpose::Client(client) => Some(SubjectName::Dns(client.to_string())),
        Purpose::Authority | Purpose::Edge(_) | Purpose::Public => None,
    };
    let mut all: Vec<SubjectName> = Vec::new();
    for name in own.into_iter().chain(names) {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    Ok(all)
}

fn allowed_days(purpose: &Purpose, asked: Option<u32>) -> Result<u32, PkiError> {
    match asked {
        Some(days) if *purpose == Purpose::Public && days > LONGEST_PUBLIC_DAYS => {
            Err(PkiError::TooLongForBrowsers(days))
        }
        Some(days) => Ok(days),
        None => Ok(purpose.default_days()),
    }
}

fn files<'a>(made: &'a Made, authority: Option<&'a Authority>) -> Vec<Content<'a>> {
    let copy = authority.map(|authority| open(AUTHORITY, &authority.certificate));
    [open(CERTIFICATE, &made.certificate), secret(KEY, made)].into_iter().chain(copy).collect()
}

const fn open<'a>(name: &'static str, text: &'a str) -> Content<'a> {
    Content { name, visibility: Visibility::Open, text }
}

fn secret<'a>(name: &'static str, made: &'a Made) -> Content<'a> {
    Content { name, visibility: Visibility::Secret, text: made.key.expose() }
}

fn exists(path: &Path) -> Result<bool, FolderError> {
    path.try_exists().map_err(|source| FolderError::Io { what: "look at", path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<String, FolderError> {
    fs::read_to_string(path).map_err(|source| FolderError::Io { what: "read", path: path.to_owned(), source })
}

fn read_secret(path: &Path) -> Result<Secret<String>, FolderError> {
    read(path).map(Secret::new)
}
