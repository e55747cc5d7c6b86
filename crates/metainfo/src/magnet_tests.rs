use super::*;

const HEX: &str = "abcdef0123456789abcdef0123456789abcdef01";

fn parsed(tail: &str) -> Magnet {
    Magnet::parse(&format!("magnet:?xt=urn:btih:{HEX}{tail}")).unwrap()
}

#[test]
fn a_link_is_written_as_it_is_read() {
    let wide = "ab".repeat(32);
    let text = format!(
        "magnet:?xt=urn:btih:{HEX}&xt=urn:btmh:1220{wide}&dn=a%20b%26c&xl=7&tr=http%3A%2F%2Ft.example%2Fannounce&\
         ws=https%3A%2F%2Fw.example%2Ff&xs=http%3A%2F%2Fx.example%2Ff.torrent&x.pe=[::1]:6881&x.pe=host.example:1&so=0,2,4-6"
    );
    let magnet = Magnet::parse(&text).unwrap();
    assert_eq!(magnet.to_string(), text);
    assert_eq!(magnet.name.as_deref(), Some("a b&c"));
    assert_eq!(magnet.trackers, ["http://t.example/announce"]);
    assert_eq!(magnet.peers[0], PeerAddr { host: "::1".into(), port: 6881 });
    assert_eq!(magnet.select, Some(vec![0..=0, 2..=2, 4..=6]));
    assert_eq!(magnet.hashes.v2.unwrap().to_string(), wide);
}

#[test]
fn hashes_may_be_hexadecimal_in_either_case_or_base32() {
    let upper = Magnet::parse(&format!("MAGNET:?xt=URN:BTIH:{}", HEX.to_uppercase())).unwrap();
    assert_eq!(upper.hashes.v1.unwrap().to_string(), HEX);
    let base32 = Magnet::parse("magnet:?xt=urn:btih:VPG66AJDIVTYTK6N54ASGRLHRGV433YB").unwrap();
    assert_eq!(base32.hashes.v1.unwrap().to_string(), HEX);
}

// M-25
#[test]
fn malformed_hashes_are_refused() {
    for (link, error) in [
        ("http://x", MagnetError::Scheme),
        ("magnet:?dn=x", MagnetError::NoHash),
        ("magnet:?xt=urn:ed2k:31d6cfe0d16ae931b73c59d7e0c089c0", MagnetError::NoHash),
    ] {
        assert_eq!(Magnet::parse(link), Err(error));
    }
    let wide = "ab".repeat(32);
    for urn in [
        format!("btih:{}", &HEX[1..]),
        format!("btih:{HEX}0"),
        "btih:".into(),
        "btih:VPG66AJDIVTYTK6N54ASGRLHRGV433Y1".into(),
        format!("btmh:1120{wide}"),
        format!("btmh:1220{}", &wide[2..]),
        format!("btmh:{wide}"),
    ] {
        let error = Magnet::parse(&format!("magnet:?xt=urn:{urn}")).unwrap_err();
        assert!(matches!(error, MagnetError::Hash(_)), "{urn}");
    }
}

// M-25
#[test]
fn two_hashes_must_name_one_torrent() {
    assert_eq!(parsed(&format!("&xt=urn:btih:{HEX}")).hashes.v1.unwrap().to_string(), HEX);
    let other = HEX.replace('a', "b");
    let link = format!("magnet:?xt=urn:btih:{HEX}&xt.1=urn:btih:{other}");
    assert_eq!(Magnet::parse(&link), Err(MagnetError::TwoTorrents));
}

// M-25
#[test]
fn endless_lists_are_cut_or_refused() {
    let trackers = (0..5000).map(|n| format!("&tr=udp://t{n}.example")).collect::<Vec<_>>().concat();
    assert_eq!(parsed(&trackers).trackers.len(), MAX_LISTED);
    let million = format!("magnet:?xt=urn:btih:{HEX}{}", "&tr=udp://x".repeat(1_000_000));
    assert!(matches!(Magnet::parse(&million), Err(MagnetError::TooLong(_))));
    let named = parsed(&format!("&dn={}", "\u{e9}".repeat(100_000)));
    assert_eq!(named.name.unwrap().len(), 254);
}

// M-25
#[test]
fn wide_selections_stay_ranges() {
    assert_eq!(parsed("&so=0-4294967295").select, Some(vec![0..=u32::MAX]));
    for so in ["x", "4-2", "", "1,,2", "-1", "4294967296", "1-2-3"] {
        let link = format!("magnet:?xt=urn:btih:{HEX}&so={so}");
        assert!(matches!(Magnet::parse(&link), Err(MagnetError::Select(_))), "{so}");
    }
    assert_eq!(ranges(&"1,".repeat(2000)), None);
}

#[test]
fn senseless_peers_and_trackers_are_dropped() {
    let magnet = parsed(
        "&x.pe=h:0&x.pe=h:65536&x.pe=:5&x.pe=a/b:5&x.pe=a%26b:5&x.pe=::1:5&x.pe=[x]:5&x.pe=127.0.0.1:22&tr=nonsense&tr=a%0a://",
    );
    assert_eq!(magnet.peers, [PeerAddr { host: "127.0.0.1".into(), port: 22 }]);
    assert!(magnet.trackers.is_empty());
}

#[test]
fn sloppy_links_are_understood() {
    let magnet = parsed("&amp;dn=a+b%&tr.1=http://x/%zz&unknown=1&flag");
    assert_eq!(magnet.name.as_deref(), Some("a b%"));
    assert_eq!(magnet.trackers, ["http://x/%zz"]);
}
