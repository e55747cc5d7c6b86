use super::*;

const HASH: InfoHash = InfoHash([7; 20]);

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

fn opened(folder: &Path) -> Receipts {
    let mut receipts = Receipts::new(folder.to_owned());
    receipts.open(HASH, "demo, \"final\".iso", 1000).unwrap();
    receipts
}

/// Five downloads of 1000 bytes, for which the origin sent 1100 to peers and 300 to people with browsers.
fn five() -> Counters {
    Counters {
        verified: 5,
        verified_bytes: 5000,
        claimed: 7,
        reported: 9,
        sent_peers: 1000,
        sent_web_seed: 100,
        sent_http: 300,
    }
}

#[test]
fn what_peers_carried_is_what_arrived_less_what_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let mut receipts = opened(folder.path());
    receipts.record(HASH, day("2026-11-25"), five());
    let saved = receipts.books().get(HASH).unwrap().saved(Some(1e6));
    assert_eq!((saved.delivered, saved.sent, saved.saved), (5300, 1400, 3900));
    assert_eq!((saved.verified, saved.claimed), (5, 2));
    assert_eq!(saved.saved_cents, Some(390));
}

#[test]
fn claims_and_reports_alone_save_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut receipts = opened(folder.path());
    receipts.record(HASH, day("2026-11-25"), Counters { claimed: 3, reported: 1000, ..Counters::default() });
    let saved = receipts.books().get(HASH).unwrap().saved(None);
    assert_eq!((saved.delivered, saved.saved, saved.claimed), (0, 0, 3));
}

#[test]
fn a_download_that_is_under_way_does_not_make_the_saving_negative() {
    let folder = tempfile::tempdir().unwrap();
    let mut receipts = opened(folder.path());
    receipts.record(HASH, day("2026-11-25"), Counters { sent_peers: 500, ..Counters::default() });
    assert_eq!(receipts.books().get(HASH).unwrap().saved(None).saved, 0);
}

#[test]
fn each_day_has_its_own_news_and_a_restart_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut receipts = opened(folder.path());
    receipts.record(HASH, day("2026-11-25"), Counters { sent_peers: 100, ..Counters::default() });
    receipts.record(HASH, day("2026-11-26"), Counters { sent_peers: 150, ..Counters::default() });
    receipts.save().unwrap();
    let mut receipts = opened(folder.path());
    receipts.record(HASH, day("2026-11-26"), Counters { sent_peers: 7, ..Counters::default() });
    let books = receipts.books();
    assert_eq!(books.get(HASH).unwrap().total().sent_peers, 157);
    let json: Value = serde_json::from_str(&books.json(None)).unwrap();
    let sent: Vec<_> =
        json["releases"][0]["days"].as_array().unwrap().iter().map(|day| day["sent_peers"].clone()).collect();
    assert_eq!(sent, [100, 57]);
    assert_eq!(json["total"]["sent"], 157);
}

#[test]
fn a_swarm_that_begins_again_counts_from_zero() {
    let folder = tempfile::tempdir().unwrap();
    let mut receipts = opened(folder.path());
    for sent_peers in [100, 30, 40] {
        receipts.record(HASH, day("2026-11-25"), Counters { sent_peers, ..Counters::default() });
    }
    receipts.rest(HASH);
    receipts.record(HASH, day("2026-11-25"), Counters { sent_peers: 50, ..Counters::default() });
    assert_eq!(receipts.books().get(HASH).unwrap().total().sent_peers, 190);
}

#[test]
fn a_damaged_file_is_put_aside_and_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("{HASH}.json"));
    fs::write(&path, "{\"schema\": 99}").unwrap();
    let mut receipts = opened(folder.path());
    receipts.record(HASH, day("2026-11-25"), five());
    receipts.save().unwrap();
    assert_eq!(fs::read_to_string(path.with_extension("json.damaged")).unwrap(), "{\"schema\": 99}");
    assert_eq!(opened(folder.path()).books().get(HASH).unwrap().total(), five());
}

#[test]
fn a_name_cannot_break_out_of_a_row_or_a_label() {
    let folder = tempfile::tempdir().unwrap();
    let mut receipts = opened(folder.path());
    receipts.record(HASH, day("2026-11-25"), five());
    let csv = receipts.books().csv(Some(1e6));
    let row = csv.lines().nth(1).unwrap();
    assert_eq!(
        row,
        format!("2026-11-25,{HASH},\"demo, \"\"final\"\".iso\",5300,1400,1000,100,300,3900,5,2,9,3.90")
    );
    let metrics = receipts.books().metrics();
    assert!(
        metrics.contains(
            r#"headwater_publish_sent_bytes_total{release="demo, \"final\".iso",via="web_seed"} 100"#
        ),
        "{metrics}"
    );
}

#[test]
fn two_releases_of_one_name_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let mut receipts = opened(folder.path());
    receipts.open(InfoHash([9; 20]), "demo, \"final\".iso", 7).unwrap();
    let books = receipts.books();
    assert_ne!(books.label(HASH), books.label(InfoHash([9; 20])));
}

#[test]
fn a_formula_stays_text_in_a_spreadsheet() {
    assert_eq!(field("=HYPERLINK(1)"), "'=HYPERLINK(1)");
}
