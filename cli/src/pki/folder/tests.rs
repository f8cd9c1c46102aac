use super::*;
use std::os::unix::fs::symlink;
use std::sync::Barrier;

const CERTIFICATE: Content<'_> = Content { name: "cert.pem", visibility: Visibility::Open, text: "certificate" };
const KEY: Content<'_> = Content { name: "key.pem", visibility: Visibility::Secret, text: "key" };
const NEW_CERTIFICATE: Content<'_> = Content { text: "new certificate", ..CERTIFICATE };
const NEW_KEY: Content<'_> = Content { text: "new key", ..KEY };

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn a_leaf_comes_whole_with_a_key_that_nobody_else_can_read() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("etc/pki");
    let folder = LockedFolder::create(&root).unwrap();
    let at = folder.place(Path::new("agents/n1"), &[CERTIFICATE, KEY]).unwrap();
    assert_eq!((mode(&root), mode(&root.join("agents")), mode(&at)), (0o700, 0o700, 0o700));
    assert_eq!(mode(&at.join("key.pem")), 0o600);
    assert_eq!((text(&at.join("cert.pem")), text(&at.join("key.pem"))), ("certificate".into(), "key".into()));
    assert_eq!(names(&root), [".lock", "agents"]);

    let again = folder.place(Path::new("agents/n1"), &[NEW_CERTIFICATE, NEW_KEY]);
    assert!(matches!(again, Err(FolderError::Occupied { .. })));
    assert_eq!(text(&at.join("key.pem")), "key");
    assert_eq!(names(&root), [".lock", "agents"]);
}

#[test]
fn a_folder_of_the_parent_is_not_closed_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let _folder = LockedFolder::create(&dir.path().join("etc/porthole/pki")).unwrap();
    assert_eq!(mode(&dir.path().join("etc/porthole")) & 0o700, 0o700);
    assert_eq!(mode(&dir.path().join("etc/porthole/pki")), 0o700);
}

#[test]
fn a_renewal_replaces_the_pair_and_keeps_what_else_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let folder = LockedFolder::create(dir.path()).unwrap();
    let at = folder.place(Path::new("edges/e1"), &[CERTIFICATE, KEY]).unwrap();
    fs::write(at.join("notes.txt"), "rack 7").unwrap();
    // A service that reads its key by its group.
    fs::set_permissions(&at, fs::Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(at.join("key.pem"), fs::Permissions::from_mode(0o640)).unwrap();
    let inode = fs::metadata(at.join("key.pem")).unwrap().ino();

    folder.replace(Path::new("edges/e1"), &[NEW_CERTIFICATE, NEW_KEY]).unwrap();
    assert_eq!((text(&at.join("cert.pem")), text(&at.join("key.pem"))), ("new certificate".into(), "new key".into()));
    assert_ne!(fs::metadata(at.join("key.pem")).unwrap().ino(), inode, "written over, not replaced");
    assert_eq!(text(&at.join("notes.txt")), "rack 7");
    assert_eq!((mode(&at), mode(&at.join("key.pem"))), (0o750, 0o640));
    assert_eq!(names(dir.path()), [".lock", "edges"]);
}

#[test]
fn a_renewed_key_is_never_opened_to_everybody() {
    let dir = tempfile::tempdir().unwrap();
    let folder = LockedFolder::create(dir.path()).unwrap();
    let at = folder.place(Path::new("public"), &[CERTIFICATE, KEY]).unwrap();
    fs::set_permissions(at.join("key.pem"), fs::Permissions::from_mode(0o666)).unwrap();
    folder.replace(Path::new("public"), &[NEW_CERTIFICATE, NEW_KEY]).unwrap();
    assert_eq!(mode(&at.join("key.pem")), 0o640);
}

#[test]
fn a_renewal_that_fails_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let folder = LockedFolder::create(dir.path()).unwrap();
    let at = folder.place(Path::new("public"), &[CERTIFICATE, KEY]).unwrap();
    // A folder of somebody else's cannot be carried over.
    fs::create_dir(at.join("old")).unwrap();
    let error = folder.replace(Path::new("public"), &[NEW_CERTIFICATE, NEW_KEY]).unwrap_err();
    assert!(error.to_string().contains("public/old"), "{error}");
    assert_eq!((text(&at.join("cert.pem")), text(&at.join("key.pem"))), ("certificate".into(), "key".into()));
    assert_eq!(names(dir.path()), [".lock", "public"]);
    assert!(folder.replace(Path::new("edges/none"), &[NEW_KEY]).is_err());
}

#[test]
fn a_folder_that_is_a_link_stays_one() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let folder = LockedFolder::create(dir.path()).unwrap();
    let real = elsewhere.path().join("real");
    fs::create_dir(&real).unwrap();
    symlink(&real, dir.path().join("public")).unwrap();
    folder.replace(Path::new("public"), &[NEW_CERTIFICATE, NEW_KEY]).unwrap();
    assert!(fs::symlink_metadata(dir.path().join("public")).unwrap().is_symlink());
    assert_eq!(names(&real), ["cert.pem", "key.pem"]);
    assert_eq!(names(elsewhere.path()), ["real"]);
}

#[test]
fn without_an_exchange_files_are_replaced_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let folder = LockedFolder::create(dir.path()).unwrap();
    let at = folder.place(Path::new("public"), &[CERTIFICATE, KEY]).unwrap();
    let files = [NEW_CERTIFICATE, NEW_KEY];
    let staged = stage(dir.path(), &files, Some(&at)).unwrap();
    replace_each(staged.path(), &at, &files).unwrap();
    assert_eq!((text(&at.join("cert.pem")), text(&at.join("key.pem"))), ("new certificate".into(), "new key".into()));
    assert_eq!(mode(&at.join("key.pem")), 0o600);
}

#[test]
fn files_beside_each_other_come_together_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let folder = LockedFolder::create(dir.path()).unwrap();
    fs::write(dir.path().join("cert.pem"), "somebody's").unwrap();
    assert!(matches!(folder.place_here(&[KEY, CERTIFICATE]), Err(FolderError::Occupied { .. })));
    assert_eq!(names(dir.path()), [".lock", "cert.pem"]);
    assert_eq!(text(&dir.path().join("cert.pem")), "somebody's");
    fs::remove_file(dir.path().join("cert.pem")).unwrap();
    folder.place_here(&[KEY, CERTIFICATE]).unwrap();
    assert_eq!(names(dir.path()), [".lock", "cert.pem", "key.pem"]);
    folder.replace_file(Path::new(""), NEW_CERTIFICATE).unwrap();
    assert_eq!(text(&dir.path().join("cert.pem")), "new certificate");
}

#[test]
fn what_a_killed_run_left_is_swept_up_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let left = dir.path().join(format!("{STAGING_PREFIX}abc"));
    fs::create_dir(&left).unwrap();
    fs::write(left.join("key.pem"), "half").unwrap();
    let _folder = LockedFolder::open(dir.path()).unwrap();
    assert_eq!(names(dir.path()), [".lock"]);
}

#[test]
fn a_folder_that_anybody_can_write_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(LockedFolder::open(dir.path()), Err(FolderError::Open { .. })));
}

#[test]
fn one_writes_at_a_time_and_one_of_many_wins() {
    let dir = tempfile::tempdir().unwrap();
    let start = Barrier::new(8);
    let placed: Vec<bool> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    let folder = LockedFolder::create(dir.path()).unwrap();
                    // Whoever holds the lock is alone: no staging folder of another's is seen, or swept.
                    assert_eq!(names(dir.path()).iter().filter(|name| name.starts_with(STAGING_PREFIX)).count(), 0);
                    folder.place(Path::new("public"), &[CERTIFICATE, KEY]).is_ok()
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(placed.iter().filter(|placed| **placed).count(), 1);
}
