//! `<?xml version="1.0" encoding="UTF-8"?>`.

use crate::registry::diagnostics::{Problem, Problems};
use crate::registry::source::Span;

use super::{Attribute, builder::in_registry, tag};

/// Checks the declaration; `content` is what stands between `<?` and `?>`.
pub(super) fn check(content: &str, span: Span, problems: &mut Problems) {
    let inside = span.within(2, content.len());
    let before = problems.count();
    let attributes = tag::attributes(content, "xml".len(), inside, problems);
    if problems.count() > before {
        return;
    }
    let order = ["version", "encoding", "standalone"];
    let mut next = 0;
    for attribute in &attributes {
        let Some(index) = order.iter().position(|name| *name == attribute.name) else {
            problems.push(
                Problem::error(format!(
                    "\"{}\" does not belong in the XML declaration",
                    attribute.name
                ))
                .at(in_registry(attribute.name_span), "unknown")
                .help("expected <?xml version=\"1.0\" encoding=\"UTF-8\"?>"),
            );
            continue;
        };
        if index < next {
            problems.push(
                Problem::error(format!(
                    "\"{}\" stands too late in the XML declaration",
                    attribute.name
                ))
                .at(in_registry(attribute.name_span), "the order is version, encoding, standalone"),
            );
        }
        next = index + 1;
        check_value(attribute, problems);
    }
    if attributes.iter().all(|attribute| attribute.name != "version") {
        problems.push(
            Problem::error("the XML declaration has no version")
                .at(in_registry(span), "expected <?xml version=\"1.0\" …?>"),
        );
    }
}

fn check_value(attribute: &Attribute<'_>, problems: &mut Problems) {
    let value: &str = &attribute.value.text;
    let place = in_registry(attribute.value.span);
    match attribute.name {
        "version" if value != "1.0" => problems.push(
            Problem::error(format!("XML version \"{value}\" is not supported"))
                .at(place, "expected 1.0"),
        ),
        // US-ASCII is a part of UTF-8.
        "encoding" if !["utf-8", "us-ascii"].contains(&value.to_ascii_lowercase().as_str()) => {
            problems.push(
                Problem::error(format!("the encoding \"{value}\" is not supported"))
                    .at(place, "expected UTF-8")
                    .help("save the file as UTF-8 and say so here, or leave the declaration out"),
            );
        }
        "standalone" if !["yes", "no"].contains(&value) => problems.push(
            Problem::error(format!("standalone cannot be \"{value}\""))
                .at(place, "expected yes or no"),
        ),
        _ => {}
    }
}
