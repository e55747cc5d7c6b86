use super::*;

#[track_caller]
fn check(names: Names, cases: &[(&[u8], &str)]) {
    for (raw, expected) in cases {
        assert_eq!(component(raw, names), *expected, "{}", raw.escape_ascii());
    }
}

fn separated(paths: &[&str], names: Names) -> Result<Vec<String>, ParseError> {
    let mut paths: Vec<Box<str>> = paths.iter().map(|path| Box::from(*path)).collect();
    separate(paths.iter_mut(), names, |_| {})?;
    Ok(paths.into_iter().map(String::from).collect())
}

// M-12
#[test]
fn a_name_never_leaves_its_folder() {
    check(
        Names::Native,
        &[
            (b"..", "_"),
            (b".", "_"),
            (b"", "_"),
            (b"/", "_"),
            (b"\\", "_"),
            (b"a/../../b", "a_.._.._b"),
            (b"/etc/passwd", "_etc_passwd"),
            (b"C:\\x", "C:_x"),
            (b"a\0b", "a_b"),
            ("\u{202e}..".as_bytes(), "_"),
            (b"...", "..."),
            (b".hidden", ".hidden"),
        ],
    );
}

// M-13
#[test]
fn portable_names_work_on_every_system() {
    check(
        Names::Portable,
        &[
            (b"CON", "_CON"),
            (b"con.txt", "_con.txt"),
            (b"COM1", "_COM1"),
            (b"COM1.txt", "_COM1.txt"),
            (b"com1.tar.gz", "_com1.tar.gz"),
            (b"lpt9 .txt", "_lpt9 .txt"),
            ("COM\u{b9}".as_bytes(), "_COM\u{b9}"),
            (b"NUL", "_NUL"),
            (b"com99.txt", "com99.txt"),
            (b"COM0", "COM0"),
            (b"console", "console"),
            (b"trailing.", "trailing_"),
            (b"trailing ", "trailing_"),
            (b"...", "_"),
            (b"a:b", "a_b"),
            (b"C:", "C_"),
            (b"\"a<b>c|d?e*f\"", "_a_b_c_d_e_f_"),
        ],
    );
    check(Names::Native, &[(b"COM1.txt", "COM1.txt"), (b"a:b. ", "a:b. ")]);
}

// M-14
#[test]
fn deceiving_and_broken_text_is_replaced_or_dropped() {
    check(
        Names::Native,
        &[
            (b"a\x1fb\x7fc\x07", "a_b_c_"),
            ("a\u{85}b\u{9b}".as_bytes(), "a_b_"),
            ("txt\u{202e}gpj.exe".as_bytes(), "txtgpj.exe"),
            ("a\u{200b}b\u{200e}c\u{feff}".as_bytes(), "abc"),
            (b"\xc0\xae\xc0\xae", "____"),
            (b"\xc0\xaf", "__"),
            (b"a\xe2\x82", "a_"),
            (b"\xf8\x88\x80\x80\x80x", "_____x"),
            (b"caf\xe9", "caf_"),
            ("caf\u{e9} \u{4f60}\u{597d}".as_bytes(), "caf\u{e9} \u{4f60}\u{597d}"),
            ("\u{1f468}\u{200d}\u{1f469}".as_bytes(), "\u{1f468}\u{200d}\u{1f469}"),
        ],
    );
}

// M-15
#[test]
fn long_names_are_cut_at_a_character_and_keep_their_extension() {
    let fits = "x".repeat(255);
    assert_eq!(component(fits.as_bytes(), Names::Native), fits);
    let long = format!("{}.tar", "x".repeat(4092));
    let cut = component(long.as_bytes(), Names::Native);
    assert!(cut.len() == 255 && cut.ends_with("x.tar"));
    let wide = format!("{}.mp4", "\u{4f60}".repeat(100));
    let cut = component(wide.as_bytes(), Names::Native);
    assert_eq!(cut, format!("{}.mp4", "\u{4f60}".repeat(83)));
    let dots = ".".repeat(300);
    assert!(component(dots.as_bytes(), Names::Native).len() <= 255);
}

// M-16
#[test]
fn names_that_collide_are_numbered_in_order() {
    assert_eq!(
        separated(&["t/bar.txt", "t/bar.txt", "t/bar.1.txt", "t/bar.txt"], Names::Native).unwrap(),
        ["t/bar.txt", "t/bar.1.txt", "t/bar.1.1.txt", "t/bar.2.txt"]
    );
    assert_eq!(
        separated(&["t/a", "t/a/b", "t/.c", "t/.c"], Names::Native).unwrap(),
        ["t/a.1", "t/a/b", "t/.c", "t/.c.1"]
    );
    assert_eq!(separated(&["t/A", "t/a"], Names::Native).unwrap(), ["t/A", "t/a"]);
    assert_eq!(separated(&["t/A", "t/a"], Names::Portable).unwrap(), ["t/A", "t/a.1"]);
    assert_eq!(separated(&["t/D/x", "t/d"], Names::Portable).unwrap(), ["t/D/x", "t/d.1"]);
}

// M-16
#[test]
fn six_hundred_duplicates_are_renamed_and_thousands_refused() {
    let renamed = separated(&["t/a.b"; 601], Names::Native).unwrap();
    assert_eq!(renamed[600], "t/a.600.b");
    assert_eq!(separated(&["t/a"; 1002], Names::Native), Err(ParseError::DuplicateNames));
}

#[test]
fn a_renamed_file_still_has_a_name_that_fits() {
    let long = format!("t/{}.txt", "y".repeat(251));
    let renamed = separated(&[&long, &long], Names::Native).unwrap();
    assert!(renamed[1].ends_with("y.1.txt") && renamed[1].len() == 2 + 255);
}
