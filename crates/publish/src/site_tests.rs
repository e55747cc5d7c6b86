use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::content::{FileBody, Part};
use crate::live::Saved;
use crate::testing::{BASE, Sample, catalogue};

/// Whoever asks.
const ANYBODY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Stands for the swarms: every release has two seeders.
struct Crowd;

impl Live for Crowd {
    fn standing(&self, _: InfoHash) -> Option<Standing> {
        let saved = Saved { delivered: 100, sent: 8, saved: 92, ..Saved::default() };
        Some(Standing { seeders: 2, saved, ..Standing::default() })
    }
}

fn settings(base: &str) -> Settings {
    Settings { base: base.to_owned(), title: "Files".to_owned(), intro: None, currency: "$".to_owned() }
}

fn site_at(base: &str, catalogue: Catalogue) -> Site {
    Site::new(settings(base), Theme::default(), catalogue, Arc::new(Crowd), Box::new(|_, _| None)).unwrap()
}

fn site(home: &Path, samples: &[Sample]) -> Site {
    site_at(BASE, catalogue(home, samples))
}

fn page_at(site: &Site, path: &str) -> Page {
    match site.find(path, ANYBODY) {
        Some(Found::Page(page)) => page,
        other => panic!("{path}: {other:?}"),
    }
}

fn file_at(site: &Site, path: &str) -> FileBody {
    match site.find(path, ANYBODY) {
        Some(Found::File(file)) => file,
        other => panic!("{path}: {other:?}"),
    }
}

fn text_at(site: &Site, path: &str) -> String {
    String::from_utf8(page_at(site, path).body.to_vec()).unwrap()
}

fn moved(site: &Site, path: &str) -> String {
    match site.find(path, ANYBODY) {
        Some(Found::Moved(to)) => to,
        other => panic!("{path}: {other:?}"),
    }
}

fn two() -> [Sample; 2] {
    [Sample::v1("one.iso", &[("one.iso", 50_000)]), Sample::hybrid("My Set", &[("a", 40_000), ("b c", 0)])]
}

#[test]
fn the_torrent_is_at_the_root_under_its_name_with_its_type() {
    let home = tempfile::tempdir().unwrap();
    let site = site(home.path(), &two());
    let page = page_at(&site, "/My Set.torrent");
    assert_eq!(page.content_type, "application/x-bittorrent");
    assert_eq!(page.disposition.as_deref(), Some("attachment; filename*=UTF-8''My%20Set.torrent"));
    assert_eq!(page.body, site.catalogue().releases()[1].metainfo.raw());
}

#[test]
fn the_only_release_has_the_front_page() {
    let home = tempfile::tempdir().unwrap();
    let [one, set] = two();
    let site = site(home.path(), std::slice::from_ref(&one));
    assert!(text_at(&site, "/").contains("one.iso.torrent"));
    assert_eq!(moved(&site, "/one.iso/"), "/");
    site.replace(catalogue(home.path(), &[one, set])).unwrap();
    assert!(text_at(&site, "/").contains("href=\"my-set/\""));
    assert!(text_at(&site, "/one.iso/").contains("href=\"../one.iso.torrent\""));
    assert_eq!(moved(&site, "/one.iso"), "/one.iso/");
}

#[test]
fn what_is_withdrawn_is_gone_at_once() {
    let home = tempfile::tempdir().unwrap();
    let site = site(home.path(), &two());
    assert!(site.find("/files/one.iso/one.iso", ANYBODY).is_some());
    site.replace(Catalogue::default()).unwrap();
    for path in ["/files/one.iso/one.iso", "/one.iso.torrent", "/one.iso/"] {
        assert!(site.find(path, ANYBODY).is_none(), "{path}");
    }
    assert!(text_at(&site, "/").contains("Nothing is published"));
}

#[test]
fn plain_links_and_web_seed_give_the_same_file_and_count_apart() {
    let home = tempfile::tempdir().unwrap();
    let site = site(home.path(), &two());
    let catalogue = site.catalogue();
    let release = &catalogue.releases()[0];
    let plain = file_at(&site, "/files/one.iso/one.iso");
    let seed = file_at(&site, &format!("/seed/{}/one.iso", release.hash()));
    assert!(matches!(&*plain.parts, [Part::File { length: 50_000, offset: 0, .. }]));
    assert_eq!(plain.etag, seed.etag);
    assert!(plain.disposition.is_some() && seed.disposition.is_none());
    plain.sent.fetch_add(7, Ordering::Relaxed);
    seed.sent.fetch_add(5, Ordering::Relaxed);
    assert_eq!(release.sent.http.load(Ordering::Relaxed), 7);
    assert_eq!(release.sent.web_seed.load(Ordering::Relaxed), 5);
}

#[test]
fn padding_answers_zeros_and_empty_files_nothing() {
    let home = tempfile::tempdir().unwrap();
    let site = site(home.path(), &[Sample::hybrid("set", &[("a", 40_000), ("b", 10), ("z", 0)])]);
    let catalogue = site.catalogue();
    let release = catalogue.only().unwrap();
    let padding = release.padding[0].path.clone();
    let zeros = file_at(&site, &format!("/seed/{}/{padding}", release.hash()));
    assert!(matches!(&*zeros.parts, [Part::Zeros(25_536)]));
    assert!(file_at(&site, "/files/set/set/z").parts.is_empty());
    assert!(site.find(&format!("/files/set/{padding}"), ANYBODY).is_none());
}

#[test]
fn a_closed_gate_holds_the_web_seed_back_and_not_the_plain_link() {
    let home = tempfile::tempdir().unwrap();
    let open = Arc::new(AtomicBool::new(false));
    let gate = {
        let open = Arc::clone(&open);
        move |_, _| (!open.load(Ordering::Relaxed)).then_some(Duration::from_secs(30))
    };
    let releases = catalogue(home.path(), &two());
    let path = format!("/seed/{}/one.iso", releases.releases()[0].hash());
    let site =
        Site::new(settings(BASE), Theme::default(), releases, Arc::new(Crowd), Box::new(gate)).unwrap();
    assert!(matches!(site.find(&path, ANYBODY), Some(Found::Later(retry)) if retry.as_secs() == 30));
    file_at(&site, "/files/one.iso/one.iso");
    open.store(true, Ordering::Relaxed);
    file_at(&site, &path);
}

#[test]
fn no_path_leads_out_of_the_catalogue() {
    let home = tempfile::tempdir().unwrap();
    let site = site(home.path(), &two());
    for path in [
        "/files/one.iso/../one.iso",
        "/files/one.iso/../../etc/passwd",
        "/files/one.iso",
        "//",
        "",
        "/seed/x",
    ] {
        assert!(site.find(path, ANYBODY).is_none(), "{path}");
    }
}

#[test]
fn sums_are_those_that_sha256sum_checks() {
    let home = tempfile::tempdir().unwrap();
    let site = site(home.path(), &two());
    let sums = text_at(&site, "/my-set/SHA256SUMS");
    let [a, b] = &*sums.lines().collect::<Vec<_>>() else { panic!("{sums}") };
    assert!(a.ends_with("  My Set/a") && b.ends_with("  My Set/b c"), "{sums}");
    assert!(b.starts_with("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
}

#[test]
fn the_validator_of_an_unhashed_file_changes_with_the_file() {
    let home = tempfile::tempdir().unwrap();
    let [one, _] = two();
    let mut publication = one.publish(home.path());
    publication.sha256.clear();
    let etag =
        |publication| file_at(&site_at(BASE, Catalogue::new([publication])), "/files/one.iso/one.iso").etag;
    let before = etag(publication.clone());
    let file = std::fs::File::options().write(true).open(home.path().join("one.iso")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_ne!(before, etag(publication));
}

#[test]
fn live_numbers_are_told_by_hash_and_validated_by_content() {
    let home = tempfile::tempdir().unwrap();
    let site = site(home.path(), &two());
    let page = page_at(&site, "/live.json");
    let value: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
    let hash = site.catalogue().releases()[0].hash().to_string();
    assert_eq!(value["releases"][&hash]["seeders"], 2);
    assert_eq!(value["releases"][&hash]["saved"]["saved"], 92);
    assert_eq!(page.etag, page_at(&site, "/live.json").etag);
}

#[test]
fn behind_a_proxy_below_a_path_links_and_moves_lead_there() {
    let home = tempfile::tempdir().unwrap();
    let site = site_at("https://example.org/dist", catalogue(home.path(), &two()));
    assert_eq!(moved(&site, "/my-set"), "/dist/my-set/");
    let page = text_at(&site, "/my-set/");
    assert!(page.contains("https://example.org/dist/My%20Set.torrent") && !page.contains("href=\"/"));
}
