// SPDX-License-Identifier: Apache-2.0
//! The template language: what Go renders, what is missing, what is refused.

use proptest::prelude::*;

use super::*;

struct Map(BTreeMap<&'static str, &'static str>);

impl Values for Map {
    fn value(&self, name: &str) -> Result<Option<Cow<'_, str>>, RenderError> {
        match self.0.get(name) {
            Some(&"<list>") => Err(RenderError::Unusable { claim: name.to_owned() }),
            found => Ok(found.map(|text| Cow::Borrowed(*text))),
        }
    }
}

fn values() -> Map {
    Map(BTreeMap::from([
        ("url", "https://github.com"),
        ("ref", "main"),
        ("ref_type", "branch"),
        ("empty", ""),
        ("hostile", "{{.url}}&<>\"'%"),
        ("a/b.c-d", "dotted"),
        ("list", "<list>"),
    ]))
}

fn check(template: &str, expect: Result<&str, RenderError>) {
    let template = Template::parse(template).unwrap();
    assert_eq!(template.render(&values(), Purpose::Extension), expect.map(str::to_owned));
}

fn missing(claim: &str) -> RenderError {
    RenderError::Missing { claim: claim.to_owned() }
}

#[test]
fn renders_what_go_renders() {
    for (template, expect) in [
        ("ref", "main"),
        ("{{ .url }}/{{.ref}}", "https://github.com/main"),
        ("refs/{{if eq .ref_type \"branch\"}}heads/{{ else }}tags/{{end}}{{ .ref }}", "refs/heads/main"),
        ("{{if eq .ref \"a\" \"b\" \"main\"}}one{{else}}none{{end}}", "one"),
        ("{{if ne .ref \"main\"}}x{{else if eq .ref_type \"tag\"}}y{{else}}z{{end}}", "z"),
        ("{{if .empty}}x{{end}}.", "."),
        ("{{if not .empty}}x{{end}}", "x"),
        ("{{if and .url .ref}}both{{end}}", "both"),
        ("{{if or .empty (eq .ref \"main\")}}either{{end}}", "either"),
        ("{{if and .url (not (or .empty .empty))}}nested{{end}}", "nested"),
        ("{{(index . \"a/b.c-d\")}}", "dotted"),
        ("{{index . `a/b.c-d`}}", "dotted"),
        ("a {{- .ref -}} b", "amainb"),
        ("a {{ .ref }} b", "a main b"),
        ("a{{/* a word about it */}}b", "ab"),
        ("{{\"a \\\"quoted\\\" text with }} in it\"}}", "a \"quoted\" text with }} in it"),
        ("{{if eq (index . \"a/b.c-d\") \"true\"}}yes{{ else }}\"\"{{end}}", "\"\""),
        ("{{.url}}{{.empty}}", "https://github.com"),
    ] {
        check(template, Ok(expect));
    }
}

#[test]
fn a_value_is_put_in_as_it_is() {
    check("<{{.hostile}}>", Ok("<{{.url}}&<>\"'%>"));
    check("hostile", Ok("{{.url}}&<>\"'%"));
}

#[test]
fn a_missing_value_is_an_error_and_so_is_one_that_is_no_text() {
    check("sha", Err(missing("sha")));
    check("{{.url}}/{{.sha}}", Err(missing("sha")));
    check("{{if .sha}}x{{end}}", Err(missing("sha")));
    check("{{.list}}", Err(RenderError::Unusable { claim: "list".to_owned() }));
    // A branch that is not taken asks for nothing.
    check("{{if .empty}}{{.sha}}{{end}}", Ok(""));
}

#[test]
fn a_missing_index_is_empty_in_a_condition_or_alone_and_an_error_inside_a_text() {
    check("{{index . \"sha\"}}", Ok(""));
    check("{{if eq (index . \"sha\") \"x\"}}a{{else}}b{{end}}", Ok("b"));
    check("{{.url}}/{{index . \"sha\"}}", Err(missing("sha")));
    for template in ["{{index . \"sha\"}}", "{{if index . \"sha\"}}a{{else}}b{{end}}"] {
        let template = Template::parse(template).unwrap();
        assert_eq!(template.render(&values(), Purpose::Name), Err(missing("sha")));
    }
}

#[test]
fn an_empty_claim_makes_no_name_and_may_stand_in_an_extension() {
    for text in
        ["{{.url}}/{{.empty}}", "{{.url}}/{{index . \"empty\"}}", "{{if .url}}{{.url}}{{.empty}}{{end}}", "empty"]
    {
        let template = Template::parse(text).unwrap();
        assert_eq!(template.render(&values(), Purpose::Name), Err(RenderError::Empty { claim: "empty".to_owned() }));
        assert!(template.render(&values(), Purpose::Extension).is_ok());
    }
    // Nothing is put in.
    let template = Template::parse("{{.url}}{{if .empty}}/{{.empty}}{{end}}").unwrap();
    assert_eq!(template.render(&values(), Purpose::Name).unwrap(), "https://github.com");
}

#[test]
fn what_is_not_in_the_subset_is_refused_when_it_is_read() {
    use TemplateError::*;
    let deep_conditions = format!("{{{{if {}.url{}}}}}{{{{end}}}}", "(not ".repeat(40), ")".repeat(40));
    let deep_branches = format!("{}{}", "{{if .url}}".repeat(40), "{{end}}".repeat(40));
    for (template, expect) in [
        ("", Empty),
        (" \n", Empty),
        ("{{", Unclosed { at: 0 }),
        ("a{{ .url }", Unclosed { at: 1 }),
        ("{{ \"}}", Unclosed { at: 0 }),
        ("{{end}}", WithoutIf { at: 0, action: "end" }),
        ("a{{else}}", WithoutIf { at: 1, action: "else" }),
        ("{{if .url}}a{{else}}b{{else}}c{{end}}", WithoutIf { at: 21, action: "else" }),
        ("{{if .url}}a", WithoutEnd { at: 0 }),
        ("{{if .url}}a{{else}}b", WithoutEnd { at: 0 }),
        ("{{}}", NotUnderstood { at: 0 }),
        ("{{.}}", NotUnderstood { at: 0 }),
        ("{{.a.b}}", NotUnderstood { at: 0 }),
        ("{{ .url | html }}", NotUnderstood { at: 0 }),
        ("{{ printf \"%s\" .url }}", NotUnderstood { at: 0 }),
        ("{{ $x := .url }}", NotUnderstood { at: 0 }),
        ("{{range .url}}{{end}}", NotUnderstood { at: 0 }),
        ("{{template \"x\"}}", NotUnderstood { at: 0 }),
        ("{{call .url}}", NotUnderstood { at: 0 }),
        ("{{index .url \"x\"}}", NotUnderstood { at: 0 }),
        ("{{index . \"x\" \"y\"}}", NotUnderstood { at: 0 }),
        ("{{if eq .url}}{{end}}", NotUnderstood { at: 0 }),
        ("{{if gt .url \"1\"}}{{end}}", NotUnderstood { at: 0 }),
        ("{{end .url}}", NotUnderstood { at: 0 }),
        ("{{\"\\n\"}}", Literal { at: 0 }),
        (&deep_conditions, TooDeep { at: 0 }),
        (&deep_branches, TooDeep { at: 16 * 11 }),
        (&"x".repeat(TEMPLATE_BYTES_MAX + 1), TooLong),
    ] {
        assert_eq!(Template::parse(template), Err(expect), "{template:?}");
    }
}

#[test]
fn a_text_that_grows_too_long_is_refused() {
    let long = Map(BTreeMap::from([("a", &*"x".repeat(RENDERED_BYTES_MAX).leak())]));
    let template = Template::parse("{{.a}}{{.a}}").unwrap();
    assert_eq!(template.render(&long, Purpose::Name), Err(RenderError::TooLong));
}

#[test]
fn a_template_says_what_it_needs() {
    let template =
        Template::parse("{{.a}}{{if eq (index . \"b\") \"x\"}}{{.c}}{{else}}{{.a}}{{.d}}{{end}}{{index . \"e\"}}")
            .unwrap();
    let expect = [
        ("a", Need::Always),
        ("b", Need::Optional),
        ("c", Need::Sometimes),
        ("d", Need::Sometimes),
        ("e", Need::Always),
    ];
    assert_eq!(template.names(), BTreeMap::from(expect));
    assert_eq!(Template::parse("ref").unwrap().names(), BTreeMap::from([("ref", Need::Always)]));
    assert_eq!(Template::parse("{{index . \"x\"}}").unwrap().names(), BTreeMap::from([("x", Need::Optional)]));
}

proptest! {
    #[test]
    fn reading_and_rendering_never_panic(text in "(\\{\\{|\\}\\}|if|else|end|eq|index|not|[ .\"`()a-z/*\\\\-]){0,40}") {
        if let Ok(template) = Template::parse(&text) {
            let _ = template.render(&values(), Purpose::Extension);
            let _ = template.names();
        }
    }

    #[test]
    fn text_without_braces_is_kept(before in "[^{}]{0,20}", after in "[^{}]{0,20}") {
        let template = Template::parse(&format!("{before}{{{{.ref}}}}{after}")).unwrap();
        prop_assert_eq!(template.render(&values(), Purpose::Name).unwrap(), format!("{before}main{after}"));
    }
}
