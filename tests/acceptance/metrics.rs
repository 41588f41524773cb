//! `/metrics`: read by a parser that forgives nothing, and true.

use std::collections::{BTreeMap, BTreeSet};

use rustix::process::Signal;

use crate::support::{Place, Registry, Server, processes, until};

type Labels = BTreeMap<String, String>;

/// One name: its kind and its samples.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    samples: Vec<(String, Labels, f64)>,
}

/// Reads the text form 0.0.4; panics at whatever a strict reader would refuse.
fn parse(text: &str) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n'), "the last line ends");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a name and its help");
            assert!(is_name(name) && !help.trim().is_empty(), "{line}");
            let kind = lines.next().expect("a TYPE follows");
            let kind = kind.strip_prefix(&format!("# TYPE {name} ")).expect("of the same name");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
            let family = Family { kind: kind.to_owned(), samples: Vec::new() };
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} stands twice");
            name.clone_into(&mut current);
            continue;
        }
        let (name, labels, value) = sample(line);
        let family = families.get_mut(&current).expect("HELP and TYPE come first");
        let suffix = name.strip_prefix(&current).unwrap_or_else(|| panic!("{line}: not together"));
        let known: &[&str] =
            if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(known.contains(&suffix), "{line}");
        family.samples.push((name, labels, value));
    }
    for (name, family) in &families {
        let unique: BTreeSet<_> =
            family.samples.iter().map(|(name, labels, _)| (name, labels)).collect();
        assert_eq!(unique.len(), family.samples.len(), "{name}: a series stands twice");
    }
    families
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).expect("a name ends");
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, tail) = rest.split_once("=\"").expect("a label has a value");
            assert!(is_name(label), "{line}");
            let mut value = String::new();
            let mut chars = tail.char_indices();
            let end = loop {
                match chars.next().expect("a value ends") {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match chars.next().expect("an escape goes on").1 {
                        'n' => '\n',
                        c @ ('\\' | '"') => c,
                        other => panic!("{line}: \\{other}"),
                    }),
                    (_, c) => value.push(c),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}: {label} twice");
            rest = &tail[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').expect("labels end");
    }
    let value = rest.strip_prefix(' ').expect("one space");
    (name.to_owned(), labels, value.parse().unwrap_or_else(|_| panic!("{line}: no number")))
}

fn metrics(place: &Place) -> BTreeMap<String, Family> {
    let answer = place.get("/metrics");
    assert_eq!(answer.status, 200, "{answer:?}");
    parse(&answer.body)
}

/// The one sample of this name with these labels.
#[track_caller]
fn value(families: &BTreeMap<String, Family>, name: &str, labels: &[(&str, &str)]) -> f64 {
    let family = families.get(name).unwrap_or_else(|| panic!("{name} is not there"));
    let fits = |known: &Labels| {
        labels.iter().all(|(label, value)| known.get(*label).is_some_and(|known| known == value))
    };
    let mut found = family.samples.iter().filter(|(_, known, _)| fits(known));
    let (_, _, value) = found.next().unwrap_or_else(|| panic!("{name}{labels:?}: {family:?}"));
    assert!(found.next().is_none(), "{name}{labels:?} is not one series");
    *value
}

#[test]
fn metrics_are_well_formed_and_true() {
    let place = Place::new(&Registry::of([
        Server::shell("ps", "echo one; echo two; exec sleep infinity")
            .with("<restart delay=\"0\" maxRestarts=\"0\"/>")
            .with("<health interval=\"0.1\"><exec><argument>/bin/true</argument></exec></health>"),
        Server::sleep("off").with("<enabled>false</enabled>"),
    ]));
    let _supervisor = place.start();
    let pid = place.running("ps");
    place.await_component("ps", "has been measured", |ps| ps["memory_bytes"].as_u64() > Some(0));
    let of_ps = [("component", "ps")];
    let before = until("a health check has been made", || {
        let families = metrics(&place);
        let counted = families["s7supervisor_probe_duration_seconds"].samples.len() > 1;
        (counted && value(&families, "s7supervisor_log_lines_total", &of_ps) > 1.0)
            .then_some(families)
    });
    for (name, family) in &before {
        assert!(name.starts_with("s7supervisor_"), "{name}");
        for (sample, labels, count) in &family.samples {
            if sample.ends_with("_bucket") && labels["le"] == "+Inf" {
                let series: Vec<_> = family.samples.iter().collect();
                let same = |other: &Labels| {
                    labels
                        .iter()
                        .all(|(label, value)| label == "le" || other.get(label) == Some(value))
                };
                let total = series
                    .iter()
                    .find(|(sample, other, _)| sample.ends_with("_count") && same(other));
                assert_eq!(total.map(|(.., total)| total), Some(count), "{sample}{labels:?}");
            }
        }
    }
    assert!(
        value(
            &before,
            "s7supervisor_component_state",
            &[("component", "ps"), ("state", "running")]
        ) > 0.5
    );
    assert!(
        value(
            &before,
            "s7supervisor_component_state",
            &[("component", "off"), ("state", "stopped")]
        ) > 0.5
    );
    assert!(value(&before, "s7supervisor_component_up", &of_ps) > 0.5);
    assert!(value(&before, "s7supervisor_component_up", &[("component", "off")]) < 0.5);
    assert!(value(&before, "s7supervisor_component_memory_bytes", &of_ps) > 10_000.0);
    assert!(value(&before, "s7supervisor_component_processes", &of_ps) > 0.5);
    assert!(value(&before, "s7supervisor_component_open_fds", &of_ps) > 2.5);
    assert!(value(&before, "s7supervisor_memory_bytes", &[]) > 100_000.0);
    assert!(value(&before, "s7supervisor_control_connections", &[]) > 0.5);
    assert!(value(&before, "s7supervisor_events_total", &[("kind", "running")]) > 0.5);
    assert!(value(&before, "s7supervisor_build_info", &[]) > 0.5);

    processes::signal(pid, Signal::KILL);
    place.await_component("ps", "runs again", |ps| ps["state"] == "running" && ps["pid"] != pid);
    place.achieve("restart", "ps");
    let after = metrics(&place);
    let grown = |name: &str, labels: &[(&str, &str)]| {
        value(&after, name, labels) - value(&before, name, labels)
    };
    let exits = |cause| {
        grown("s7supervisor_component_exits_total", &[("component", "ps"), ("cause", cause)])
    };
    let all = [
        ("starts", grown("s7supervisor_component_starts_total", &of_ps), 2.0),
        ("restarts", grown("s7supervisor_component_restarts_total", &of_ps), 1.0),
        ("killed", exits("signal"), 1.0),
        ("asked", exits("requested"), 1.0),
        ("failed", exits("failure"), 0.0),
    ];
    for (what, grown, expected) in all {
        assert!((grown - expected).abs() < 0.5, "{what}: {grown}, not {expected}");
    }
    for (name, family) in &before {
        if family.kind == "counter" {
            for (_, labels, earlier) in &family.samples {
                let labels: Vec<_> = labels.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
                let now = value(&after, name, &labels);
                assert!(now >= *earlier, "{name}{labels:?} fell from {earlier} to {now}");
            }
        }
    }
}
