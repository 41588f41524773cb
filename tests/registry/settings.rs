//! Tokens and where their values come from.

use s7supervisor::registry::Sources;

use super::support::{component, load_with, problems, sources};

/// What an argument becomes.
#[track_caller]
fn argument(text: &str, settings: &str, sources: &Sources) -> String {
    let text = format!(
        "<supervisor><settings>{settings}</settings><servers><server id=\"a\">\
         <executable>/bin/a</executable><arguments><argument>{text}</argument></arguments>\
         </server></servers></supervisor>"
    );
    load_with(&text, sources).registry.components[0].arguments[0].clone()
}

#[test]
fn the_first_source_that_has_a_value_wins() {
    let given = "<setting name=\"SV::PsHeapSize\">3g</setting>";
    let environment = [("SV__PsHeapSize", "2g")];
    let set = [("SV::PsHeapSize", "9g"), ("SV::PsHeapSize", "1g")];
    let heap =
        |settings: &str, sources: Sources| argument("-XmxSV::PsHeapSize", settings, &sources);
    assert_eq!(heap(given, sources(&set, &environment)), "-Xmx1g");
    assert_eq!(heap(given, sources(&[], &environment)), "-Xmx2g");
    assert_eq!(heap(given, Sources::default()), "-Xmx3g");
    assert_eq!(heap("", Sources::default()), "-Xmx512m");
}

#[test]
fn tokens_are_replaced_wherever_they_stand() {
    let none = Sources::default();
    assert_eq!(argument("SV::log:SV::temp", "", &none), "logs/Supervisor.log:temp");
    assert_eq!(argument("${SV::temp}s", "", &none), "temps");
    assert_eq!(argument("see SV::temp.", "", &none), "see temp.");
    assert_eq!(argument("TC::base", "", &none), "/opt/ImageServing/tomcat");
    let home = sources(&[("TC::home", "/usr/share/tomcat10")], &[]);
    assert_eq!(argument("TC::base", "", &home), "/usr/share/tomcat10");
    let nested =
        "<setting name=\"AB::a\">[AB::b]</setting><setting name=\"AB::b\">${X:-SV::temp}</setting>";
    assert_eq!(argument("AB::a", nested, &none), "[temp]");
}

#[test]
fn what_only_looks_like_a_token_stays() {
    let none = Sources::default();
    for text in ["std::string", "[::1]:80", "-MHTTP::Tiny", "A::b", "$HOME", "100$", "a::b::c"] {
        assert_eq!(argument(text, "", &none), text);
    }
    assert_eq!(argument("$${HOME}", "", &none), "${HOME}");
}

#[test]
fn variables_take_from_the_environment() {
    let environment = sources(&[], &[("NAME", "x"), ("EMPTY", ""), ("TOKEN", "SV::temp ${NAME}")]);
    let value = |text: &str| argument(text, "", &environment);
    assert_eq!(value("a${NAME}b"), "axb");
    assert_eq!(value("${NAME:-other}"), "x");
    assert_eq!(value("[${EMPTY}]"), "[]");
    assert_eq!(value("${EMPTY:-other}"), "other");
    assert_eq!(value("${ABSENT:-}"), "");
    assert_eq!(value("${ABSENT:-${NAME}/${ALSO:-y}}"), "x/y");
    assert_eq!(value("${NAME:+${NAME}/bin/}java"), "x/bin/java");
    assert_eq!(value("${EMPTY:+${EMPTY}/bin/}java"), "java");
    // A value from outside is data: it is never looked through for tokens.
    assert_eq!(value("${TOKEN}"), "SV::temp ${NAME}");
}

#[test]
fn tokens_stand_in_attributes_too() {
    let with = component(
        "<settings><setting name=\"AB::name\">x</setting></settings>",
        "<executable>/bin/a</executable>\
         <environment><variable name=\"AB::name\">${SV::temp}</variable></environment>",
    );
    assert_eq!(with.environment.get("x").map(String::as_str), Some("temp"));
}

#[test]
fn wrong_values_from_outside_are_told_by_their_source() {
    let wrong = sources(
        &[("SV::PsHeapSize", "lots"), ("bad", "1"), ("SV::SvgHeepSize", "1g")],
        &[("SV__tracelevel", "7")],
    );
    insta::assert_snapshot!(problems("<supervisor/>", &wrong), @r#"
    error: --set bad=1: this is no name of a setting (expected two or three capitals, ::, a name: --set SV::PsHeapSize=1g)
    error: the environment's SV__tracelevel cannot be "7" (expected 1, 2, 3 or 4)
    error: --set SV::PsHeapSize=lots: not valid (expected a Java heap size: a number, then k, m, g or t, for example 512m)
    warning: --set SV::SvgHeepSize=1g: the registry does not use it (did you mean "SV::SvgHeapSize"?)
    "#);
}

#[test]
fn a_nest_of_defaults_has_a_limit() {
    let text = format!("{}x{}", "${A:-".repeat(500), "}".repeat(500));
    let text = format!("<supervisor><config><log>{text}</log></config></supervisor>");
    assert!(problems(&text, &Sources::default()).contains("nested too deep"));
}
