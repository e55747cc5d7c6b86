use std::path::Path;

use super::*;
use crate::testing::{BASE, Sample, catalogue};

fn settings() -> Settings {
    Settings {
        base: BASE.to_owned(),
        title: "Files & Co".to_owned(),
        intro: Some("*Our* files".to_owned()),
        currency: "$".to_owned(),
    }
}

fn with<T>(home: &Path, samples: &[Sample], live: bool, work: impl FnOnce(&Pages<'_>) -> T) -> T {
    let (settings, theme, catalogue) = (settings(), Theme::default(), catalogue(home, samples));
    work(&Pages { settings: &settings, theme: &theme, catalogue: &catalogue, live })
}

/// The page of one release alone.
fn release_page(sample: Sample, live: bool) -> String {
    let home = tempfile::tempdir().unwrap();
    with(home.path(), &[sample], live, |pages| pages.release(pages.catalogue.only().unwrap()).unwrap())
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn the_page_has_every_way_to_the_file() {
    let page = release_page(Sample::v1("dist.iso", &[("dist.iso", 5_000)]), true);
    for part in [
        "<a class=\"download\" href=\"dist.iso.torrent\" type=\"application/x-bittorrent\">",
        "href=\"magnet:?xt=urn:btih:",
        "href=\"files/dist.iso/dist.iso\" download>Direct download",
        "href=\"dist.iso/SHA256SUMS\"",
        "<svg class=\"qr\"",
        "href=\"feed.atom\"",
        "4.9 KiB",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    assert_eq!(count(&page, "<h1>"), 1);
}

/// Names are strangers' text; the intro's and notes' Markdown is told by its own tests.
#[test]
fn names_cannot_break_out_of_the_page() {
    let evil = "</script><img src=x onerror=alert(1)>\"'&";
    let name: &'static str = "<b>&\"'";
    let sample =
        Sample { title: Some(evil), notes: Some(evil), ..Sample::v1(name, &[("<i>/\"x'", 5), ("y", 6)]) };
    let page = release_page(sample.clone(), true);
    for part in ["<img", "<b>", "<i>", "</script><", "onerror=alert(1)>"] {
        assert!(!page.contains(part), "{part}\n{page}");
    }
    assert_eq!(count(&page, "<script"), 2);
    let home = tempfile::tempdir().unwrap();
    let feed = with(home.path(), &[sample], true, |pages| pages.feed().unwrap());
    assert!(!feed.contains("<img") && !feed.contains("<b>"), "{feed}");
}

#[test]
fn what_search_engines_read_is_json_of_the_release() {
    let page = release_page(Sample::v1("dist.iso", &[("dist.iso", 5_000)]), true);
    let (_, rest) = page.split_once("<script type=\"application/ld+json\">").unwrap();
    let (json, _) = rest.split_once("</script>").unwrap();
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(value["distribution"][0]["contentUrl"], format!("{BASE}/dist.iso.torrent"));
    assert_eq!(value["distribution"][1]["contentUrl"], format!("{BASE}/files/dist.iso/dist.iso"));
    assert_eq!(value["distribution"][1]["sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn a_page_of_plain_files_asks_no_server_and_promises_no_receipt() {
    let dead = release_page(Sample::v1("dist.iso", &[("dist.iso", 5)]), false);
    assert!(!dead.contains("live.json") && !dead.contains("receipt") && !dead.contains("data-show"));
    let live = release_page(Sample::v1("dist.iso", &[("dist.iso", 5)]), true);
    assert!(live.contains("live.json") && live.contains("receipt.csv"));
}

#[test]
fn many_files_are_folded_and_the_most_are_only_in_the_sums() {
    let files = |count: usize| {
        let files = (0..count).map(|number| (format!("f/{number:04}"), 1));
        Sample { files: files.collect(), ..Sample::v1("set", &[]) }
    };
    let few = release_page(files(FOLDED), true);
    assert!(!few.contains("<summary>Show all"));
    let many = release_page(files(MAX_ROWS + 3), true);
    assert!(many.contains("<summary>Show all 1003 files</summary>"));
    assert_eq!(count(&many, "<tr><td>"), MAX_ROWS);
    assert!(many.contains("And 3 more files, listed in <a href=\"set/SHA256SUMS\">"));
}

#[test]
fn the_page_of_the_only_release_says_what_the_site_and_the_release_are() {
    let sample = Sample { notes: Some("**Its** notes"), ..Sample::v1("x", &[("x", 5)]) };
    let page = release_page(sample, true);
    assert!(page.contains("<p><em>Our</em> files</p>") && page.contains("<p><strong>Its</strong> notes</p>"));
    assert!(page.contains("<meta property=\"og:description\" content=\"Its notes\">"));
}

#[test]
fn a_theme_adds_a_style_sheet_after_ours() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(EXTRA_STYLE), ":root { --accent: #a40; }").unwrap();
    let theme = Theme::load(Some(home.path())).unwrap();
    let (settings, catalogue) = (settings(), catalogue(home.path(), &[Sample::v1("x", &[("x", 5)])]));
    let pages = Pages { settings: &settings, theme: &theme, catalogue: &catalogue, live: true };
    let page = pages.release(catalogue.only().unwrap()).unwrap();
    let at = |part: &str| page.find(part).unwrap_or_else(|| panic!("{part} is missing"));
    assert!(at("href=\"style.css?v=") < at("href=\"theme.css?v="));
}

#[test]
fn sums_that_are_not_known_are_left_out() {
    let home = tempfile::tempdir().unwrap();
    let mut publication = Sample::v1("dist.iso", &[("dist.iso", 5)]).publish(home.path());
    publication.sha256.clear();
    let (settings, theme, catalogue) = (settings(), Theme::default(), Catalogue::new([publication]));
    let pages = Pages { settings: &settings, theme: &theme, catalogue: &catalogue, live: true };
    let page = pages.release(catalogue.only().unwrap()).unwrap();
    assert!(!page.contains("SHA-256") && !page.contains("SHA256SUMS") && !page.contains("sha256"));
}

#[test]
fn the_feed_is_well_formed_and_the_latest_comes_first() {
    let home = tempfile::tempdir().unwrap();
    let mut old = Sample::v1("old & grey", &[("old & grey", 5)]).publish(&home.path().join("a"));
    old.published = Timestamp::from_second(1_000_000_000).unwrap();
    let new = Sample::v1("new", &[("new", 5)]).publish(&home.path().join("b"));
    let (settings, theme, catalogue) = (settings(), Theme::default(), Catalogue::new([old, new]));
    let pages = Pages { settings: &settings, theme: &theme, catalogue: &catalogue, live: true };
    let feed = pages.feed().unwrap();
    let titles: Vec<_> = feed.split("<title>").skip(1).filter_map(|part| part.split('<').next()).collect();
    assert_eq!(titles, ["Files &amp; Co", "new", "old &amp; grey"]);
    assert!(feed.contains("<updated>2023-11-14T22:13:20Z</updated>"));
    well_formed(&feed);
}

/// Every element is closed by its own end, and no `&` is bare.
fn well_formed(xml: &str) {
    let mut open = Vec::new();
    for tag in xml.split('<').skip(1).filter(|tag| !tag.starts_with('?')) {
        let (tag, text) = tag.split_once('>').expect("a tag is closed");
        let name = tag.trim_matches('/').split_whitespace().next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        for entity in tag.split('&').skip(1).chain(text.split('&').skip(1)) {
            assert!(
                entity.split_once(';').is_some_and(|(name, _)| name.len() <= 6),
                "bare & before {entity:?}"
            );
        }
    }
    assert!(open.is_empty(), "{open:?} are not closed");
}

#[test]
fn sizes_are_those_that_people_write() {
    for (bytes, text) in [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1_023, "1023 bytes"),
        (1_024, "1 KiB"),
        (1_536, "1.5 KiB"),
        (5_000, "4.9 KiB"),
        (123 << 20, "123 MiB"),
        (4_402_341_478, "4.1 GiB"),
        (u64::MAX, "16777216 TiB"),
    ] {
        assert_eq!(size(bytes), text);
    }
}

#[test]
fn a_summary_is_short_and_without_marks() {
    assert_eq!(summary(Some("**Bold** start"), String::new), "Bold start");
    assert_eq!(summary(None, || "other".to_owned()), "other");
    assert_eq!(summary(Some(&"ž ".repeat(300)), String::new).chars().count(), MAX_SUMMARY);
}
