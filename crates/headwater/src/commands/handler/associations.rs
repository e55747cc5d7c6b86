//! `mimeapps.list`, the user's choice of programs by type (freedesktop.org, "Association between MIME types and
//! applications").
//!
//! A reader and an editor of one key at a time: every other byte of the file stays as it is.

/// The group that holds the choices.
const GROUP: &str = "[Default Applications]";

/// What the file says a type is opened with: one program, or several divided by `;`.
pub(super) fn default_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut inside = false;
    text.lines().find_map(|line| {
        inside = in_group(inside, line);
        value(line, name).filter(|_| inside)
    })
}

/// The file with another program for a type, or without any.
pub(super) fn with_default(text: &str, name: &str, program: Option<&str>) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let mut inside = false;
    // The last line of the group that is not empty, and the type's own line.
    let (mut last, mut own) = (None, None);
    for (place, line) in lines.iter().enumerate() {
        inside = in_group(inside, line);
        if inside && !line.trim().is_empty() {
            last = Some(place);
            own = own.or_else(|| value(line, name).map(|_| place));
        }
    }
    let new = program.map(|program| format!("{name}={program}"));
    match (own, new.as_deref()) {
        (Some(place), Some(new)) => lines[place] = new,
        (Some(place), None) => _ = lines.remove(place),
        (None, Some(new)) => match last {
            Some(place) => lines.insert(place + 1, new),
            None if lines.is_empty() => lines.extend([GROUP, new]),
            None => lines.extend(["", GROUP, new]),
        },
        (None, None) => {}
    }
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

/// Whether the next line belongs to the group, after this one.
fn in_group(inside: bool, line: &str) -> bool {
    let line = line.trim();
    if line.starts_with('[') { line == GROUP } else { inside }
}

fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (key, value) = line.split_once('=')?;
    (key.trim() == name).then(|| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# mine\n[Added Associations]\nx/y=a.desktop;\n\n[Default Applications]\ntext/plain=e.desktop\nx/y = old.desktop;other.desktop;\n\n[Removed Associations]\nx/y=z.desktop\n";

    #[test]
    fn only_the_default_group_is_read() {
        assert_eq!(default_of(FILE, "x/y"), Some("old.desktop;other.desktop;"));
        assert_eq!(default_of(FILE, "x/z"), None);
        assert_eq!(default_of("", "x/y"), None);
    }

    #[test]
    fn one_line_changes_and_the_rest_stays() {
        let changed = with_default(FILE, "x/y", Some("new.desktop"));
        assert_eq!(changed, FILE.replace("x/y = old.desktop;other.desktop;", "x/y=new.desktop"));
        assert_eq!(with_default(FILE, "x/y", None), FILE.replace("x/y = old.desktop;other.desktop;\n", ""));
    }

    #[test]
    fn a_new_line_goes_to_the_end_of_its_group() {
        let changed = with_default(FILE, "a/b", Some("n.desktop"));
        assert_eq!(changed, FILE.replace("other.desktop;\n", "other.desktop;\na/b=n.desktop\n"));
        assert_eq!(with_default(&changed, "a/b", None), FILE);
    }

    #[test]
    fn a_missing_group_is_added() {
        assert_eq!(with_default("", "a/b", Some("n.desktop")), "[Default Applications]\na/b=n.desktop\n");
        assert_eq!(
            with_default("[Other]\nk=v", "a/b", Some("n.desktop")),
            "[Other]\nk=v\n\n[Default Applications]\na/b=n.desktop\n"
        );
        assert_eq!(with_default("", "a/b", None), "");
    }
}
