use super::*;

fn check(text: &str, html: &str) {
    assert_eq!(render(text).replace('\n', ""), html, "{text:?}");
}

#[test]
fn paragraphs_headings_lists_and_code_become_blocks() {
    check("one\ntwo\n\nthree", "<p>onetwo</p><p>three</p>");
    check("# A\n## B ##\n##### C", "<h2>A</h2><h3>B</h3><h4>C</h4>");
    check("- a\n- b\n  more\n\n1. c\n2. d", "<ul><li>a</li><li>bmore</li></ul><ol><li>c</li><li>d</li></ol>");
    check("text\n- a\ntext", "<p>text</p><ul><li>a</li></ul><p>text</p>");
    check("```sh\n<b> *x*\n```\nafter", "<pre><code>&lt;b&gt; *x*</code></pre><p>after</p>");
    check("#hashtag\n12.5 GB", "<p>#hashtag12.5 GB</p>");
}

#[test]
fn marks_within_a_line_become_elements() {
    check("**b** *i* _i_ `c*d*`", "<p><strong>b</strong> <em>i</em> <em>i</em> <code>c*d*</code></p>");
    check("**a *b* c**", "<p><strong>a <em>b</em> c</strong></p>");
    check("[a *b*](https://x.org/?a&b)", "<p><a href=\"https://x.org/?a&amp;b\">a <em>b</em></a></p>");
    check(
        "[m](magnet:?xt=1) [r](../x) [f](#files)",
        "<p><a href=\"magnet:?xt=1\">m</a> <a href=\"../x\">r</a> <a href=\"#files\">f</a></p>",
    );
}

#[test]
fn what_is_not_closed_or_inside_a_word_stays_text() {
    for text in ["a * b", "2 * 3 * 4", "snake_case_name", "**open", "`open", "[open](x", "[a] (b)", "\\"] {
        check(text, &format!("<p>{text}</p>"));
    }
    check("\\*a\\*", "<p>*a*</p>");
}

/// The text is the publisher's, but it may be a file that came from elsewhere.
#[test]
fn nothing_in_the_text_can_run_or_break_out() {
    check("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>");
    check("<img src=x onerror='y'>&amp;", "<p>&lt;img src=x onerror=&#39;y&#39;&gt;&amp;amp;</p>");
    check("[a](https://x/\"onclick=\"y)", "<p><a href=\"https://x/&quot;onclick=&quot;y\">a</a></p>");
    for address in [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\u{1}script:x",
        " javascript:x",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "//evil.example",
        "\\\\evil.example",
        "/\\evil.example",
        "a b",
        "",
    ] {
        let html = render(&format!("[x]({address})"));
        assert!(!html.contains("<a"), "{address:?}: {html}");
    }
}

#[test]
fn hostile_nesting_costs_neither_stack_nor_time() {
    for part in ["*", "_a", "[", "[a](", "`", "**a*b"] {
        let html = render(&format!("x {}", part.repeat(20_000)));
        assert!(html.len() >= 20_000);
    }
}

#[test]
fn the_plain_text_has_no_marks() {
    assert_eq!(plain("# A & B\n\n- **x** <y>\n- [z](https://w)"), "A & B x <y> z");
}
