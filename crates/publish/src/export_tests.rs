use std::path::Path;

use super::*;
use crate::testing::{BASE, Sample, catalogue};

fn settings() -> Settings {
    Settings { base: BASE.to_owned(), title: "Files".to_owned(), intro: None, currency: "$".to_owned() }
}

fn write(catalogue: &Catalogue, folder: &Path, force: bool) -> Result<Report, ExportError> {
    export(&settings(), &Theme::default(), catalogue, folder, force)
}

fn two() -> [Sample; 2] {
    [Sample::v1("one", &[("one", 50_000)]), Sample::hybrid("set", &[("a/b", 40_000), ("c", 9)])]
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn everything_that_the_pages_link_to_is_there() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("site");
    let catalogue = catalogue(home.path(), &two());
    write(&catalogue, &out, false).unwrap();
    for page in ["index.html", "one/index.html", "set/index.html"] {
        let folder = out.join(page).parent().unwrap().to_owned();
        let text = read(out.join(page));
        let links = text.split("href=\"").skip(1).chain(text.split("src=\"").skip(1));
        let links = links.filter_map(|part| part.split(['"', '?', '#']).next());
        let own: Vec<_> = links.filter(|link| !link.is_empty() && !link.contains(':')).collect();
        assert!(own.len() > 5, "{page}: {own:?}");
        for link in own {
            assert!(folder.join(link).exists(), "{page} links to {link}");
        }
    }
    let padding = &catalogue.releases()[1].padding[0];
    assert_eq!(fs::metadata(out.join("files/set").join(&*padding.path)).unwrap().len(), padding.size);
}

#[test]
fn files_are_hard_links_and_a_second_export_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("site");
    let catalogue = catalogue(home.path(), &two());
    let first = write(&catalogue, &out, false).unwrap();
    assert_eq!((first.linked, first.copied, first.unchanged, first.removed), (3, 0, 0, 0));
    let second = write(&catalogue, &out, false).unwrap();
    let all = first.written + first.linked;
    assert_eq!(second, Report { unchanged: all, ..Report::default() });
}

#[test]
fn a_copy_is_renewed_only_when_its_source_changed() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("site");
    let publication = Sample::v1("one", &[("one", 50)]).publish(home.path());
    write(&Catalogue::new([publication.clone()]), &out, false).unwrap();
    // Stands for a copy made where links are impossible: an inode of its own.
    let target = out.join("files/one/one");
    fs::remove_file(&target).unwrap();
    fs::write(&target, "y".repeat(50)).unwrap();
    write(&Catalogue::new([publication.clone()]), &out, false).unwrap();
    assert!(read(&target).starts_with('y'));
    let source = fs::File::options().write(true).open(home.path().join("one")).unwrap();
    source.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    write(&Catalogue::new([publication]), &out, false).unwrap();
    assert!(read(&target).starts_with('x'));
}

#[test]
fn what_was_withdrawn_is_removed_and_what_is_theirs_stays() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("site");
    let [one, set] = two();
    write(&catalogue(home.path(), &[one.clone(), set]), &out, false).unwrap();
    fs::write(out.join("set/theirs.txt"), "theirs").unwrap();
    let report = write(&catalogue(home.path(), &[one]), &out, false).unwrap();
    assert!(report.removed > 4, "{report:?}");
    assert!(!out.join("files/set").exists() && !out.join("set.torrent").exists());
    assert_eq!(read(out.join("set/theirs.txt")), "theirs");
    assert!(out.join("files/one/one").exists());
    // The releases themselves are nobody's to remove.
    assert!(home.path().join("1/set/a/b").exists());
}

#[test]
fn a_file_of_theirs_is_overwritten_only_by_force() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("site");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("index.html"), "theirs").unwrap();
    let catalogue = catalogue(home.path(), &two());
    let refused = write(&catalogue, &out, false).unwrap_err();
    assert!(matches!(refused, ExportError::Occupied(path) if path == out.join("index.html")));
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    write(&catalogue, &out, true).unwrap();
    assert!(read(out.join("index.html")).contains("<h1>"));
}

#[test]
fn a_list_that_names_what_lies_outside_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("site");
    fs::create_dir(&out).unwrap();
    fs::write(home.path().join("precious"), "").unwrap();
    for path in ["../precious", "/etc/passwd", "", "a/../../precious"] {
        let list = serde_json::json!({ "files": { path: null } });
        fs::write(out.join(MANIFEST), list.to_string()).unwrap();
        let refused = write(&Catalogue::default(), &out, false).unwrap_err();
        assert!(matches!(refused, ExportError::Manifest(_)), "{path}: {refused}");
    }
    assert!(home.path().join("precious").exists());
}

#[test]
fn files_that_a_web_server_may_not_read_are_named() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("site");
    let catalogue = catalogue(home.path(), &two());
    let source = home.path().join("0/one");
    fs::set_permissions(source, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(write(&catalogue, &out, false).unwrap().private, [out.join("files/one/one")]);
}

#[test]
fn a_file_that_is_missing_stops_the_export_before_anything_is_written() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("site");
    let publication = Sample::v1("one", &[("one", 50)]).publish(home.path());
    fs::remove_file(home.path().join("one")).unwrap();
    let missing = write(&Catalogue::new([publication]), &out, false).unwrap_err();
    assert!(matches!(missing, ExportError::Missing(_)));
    assert!(!out.exists());
}
