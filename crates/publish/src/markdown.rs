//! A small part of Markdown as HTML: what a publisher needs to say what a file is.
//!
//! Blocks: paragraphs, headings, lists, fenced code. Within them: `**bold**`, `*italic*`, `` `code` ``, `[text](address)`. There is
//! no HTML in it: whatever is not one of these is text and is escaped, so that nothing can run, whoever wrote it.

/// How deep emphasis may be nested. Deeper text is taken as it stands, so that a file made of `*` costs no stack.
const MAX_DEPTH: usize = 8;

/// How far the end of a mark is looked for, in bytes: a paragraph's length, so that unclosed marks cost no quadratic time.
const MAX_SPAN: usize = 4 << 10;

/// The text as HTML. Its headings begin at `<h2>`, since the page has its own first one.
pub fn render(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let line = line.trim_end();
        if line.trim_start().is_empty() {
            continue;
        }
        if line.starts_with("```") {
            code(&mut out, lines.by_ref().take_while(|line| !line.starts_with("```")));
        } else if let Some((level, title)) = heading(line) {
            wrap(&mut out, ["h2", "h3", "h4"][level], title);
        } else if let Some((kind, first)) = item(line) {
            let mut items = vec![first.to_owned()];
            while let Some(next) = lines.next_if(|line| continues(line, kind)) {
                match item(next) {
                    Some((_, text)) => items.push(text.to_owned()),
                    None => join(items.last_mut(), next),
                }
            }
            list(&mut out, kind, &items);
        } else {
            let mut paragraph = Some(line.trim_start().to_owned());
            while let Some(next) = lines.next_if(|line| is_text(line)) {
                join(paragraph.as_mut(), next);
            }
            wrap(&mut out, "p", &paragraph.unwrap_or_default());
        }
    }
    out
}

/// The text without marks, on one line: for feeds and previews.
pub fn plain(text: &str) -> String {
    let html = render(text);
    let mut out = String::new();
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            '\n' => out.push(' '),
            c if !inside => out.push(c),
            _ => {}
        }
    }
    let out = out
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&");
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Which kind of list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Bullets,
    Numbers,
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let title = line.trim_start_matches('#');
    let level = line.len() - title.len();
    let title = title.strip_prefix(' ').filter(|_| level > 0)?;
    Some((level.min(3) - 1, title.trim().trim_end_matches('#').trim_end()))
}

fn item(line: &str) -> Option<(List, &str)> {
    let line = line.trim_start();
    if let Some(text) = line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")) {
        return Some((List::Bullets, text.trim()));
    }
    let text = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let text = text.strip_prefix(". ").filter(|_| text.len() < line.len())?;
    Some((List::Numbers, text.trim()))
}

/// A line of a list: its next item, or more of the last one, which is indented.
fn continues(line: &str, kind: List) -> bool {
    match item(line) {
        Some((other, _)) => other == kind,
        None => line.starts_with(' ') && !line.trim().is_empty(),
    }
}

fn is_text(line: &str) -> bool {
    !line.trim().is_empty() && heading(line).is_none() && item(line).is_none() && !line.starts_with("```")
}

fn join(text: Option<&mut String>, line: &str) {
    if let Some(text) = text {
        text.push('\n');
        text.push_str(line.trim());
    }
}

fn wrap(out: &mut String, tag: &str, text: &str) {
    out.extend(["<", tag, ">"]);
    inline(out, text, 0);
    out.extend(["</", tag, ">\n"]);
}

fn list(out: &mut String, kind: List, items: &[String]) {
    let tag = if kind == List::Bullets { "ul" } else { "ol" };
    out.extend(["<", tag, ">\n"]);
    for item in items {
        wrap(out, "li", item);
    }
    out.extend(["</", tag, ">\n"]);
}

fn code<'a>(out: &mut String, lines: impl Iterator<Item = &'a str>) {
    out.push_str("<pre><code>");
    for line in lines {
        out.push_str(&escape(line));
        out.push('\n');
    }
    out.push_str("</code></pre>\n");
}

/// Text with marks in it.
fn inline(out: &mut String, text: &str, depth: usize) {
    let mut rest = text;
    while let Some(at) = rest.find(['*', '_', '`', '[', '\\']) {
        let (before, mark) = rest.split_at(at);
        out.push_str(&escape(before));
        // A `_` or `*` inside a word is a part of it: snake_case is no emphasis.
        let inside_word = before.ends_with(char::is_alphanumeric) && !mark.starts_with(['`', '[', '\\']);
        let marked = if inside_word || depth >= MAX_DEPTH { None } else { span(out, mark, depth) };
        rest = marked.unwrap_or_else(|| {
            out.push_str(&escape(&mark[..1]));
            &mark[1..]
        });
    }
    out.push_str(&escape(rest));
}

/// What a mark at the start of the text begins, if it is closed; the rest is returned.
fn span<'a>(out: &mut String, text: &'a str, depth: usize) -> Option<&'a str> {
    if let Some(rest) = text.strip_prefix('\\') {
        let escaped = rest.chars().next().filter(char::is_ascii_punctuation)?;
        out.push_str(&escape(&rest[..escaped.len_utf8()]));
        return Some(&rest[escaped.len_utf8()..]);
    }
    if text.starts_with('[') {
        return link(out, text, depth);
    }
    let (mark, tag) = [("**", "strong"), ("__", "strong"), ("*", "em"), ("_", "em"), ("`", "code")]
        .into_iter()
        .find(|(mark, _)| text.starts_with(mark))?;
    let inner = &text[mark.len()..];
    let end = near(inner).find(mark).filter(|&end| end > 0 && !inner.starts_with(' '))?;
    let (inner, rest) = (&inner[..end], &inner[end + mark.len()..]);
    out.extend(["<", tag, ">"]);
    if tag == "code" {
        out.push_str(&escape(inner));
    } else {
        inline(out, inner, depth + 1);
    }
    out.extend(["</", tag, ">"]);
    Some(rest)
}

/// `[text](address)`, if the address may be followed.
fn link<'a>(out: &mut String, text: &'a str, depth: usize) -> Option<&'a str> {
    let inner = &text[1..];
    let middle = near(inner).find("](")?;
    let (label, tail) = (&inner[..middle], &inner[middle + 2..]);
    let end = near(tail).find(')')?;
    let (address, rest) = (tail[..end].trim(), &tail[end + 1..]);
    if !is_safe(address) {
        return None;
    }
    out.push_str("<a href=\"");
    out.push_str(&escape(address));
    out.push_str("\">");
    inline(out, label, depth + 1);
    out.push_str("</a>");
    Some(rest)
}

/// The addresses that links may have: the web, magnets, and the site's own.
fn is_safe(address: &str) -> bool {
    if address.is_empty() || address.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return false;
    }
    // Browsers read a backslash as a slash, so that both begin an address of another host.
    if address.replace('\\', "/").starts_with("//") {
        return false;
    }
    let before_path = address.split(['/', '?', '#']).next().unwrap_or_default();
    match before_path.split_once(':') {
        Some((scheme, _)) => matches!(&*scheme.to_ascii_lowercase(), "http" | "https" | "magnet"),
        None => true,
    }
}

/// As much of the text as a mark may span.
fn near(text: &str) -> &str {
    let mut end = text.len().min(MAX_SPAN);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Text as HTML, in an element or a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
#[path = "markdown_tests.rs"]
mod tests;
